"""Dialogue policy: a simulated customer, agents that serve it, and what their policy is worth.

The parts are imported by name, as they load scikit-learn or torch: `understanding`, `customer`,
`episodes`, `rules`, `agents`, `measures`.
"""
