"""Small modules that methods create: regressors, heads, gates, banks, critics, ensembles."""
