"""Sans-IO shutdown: phases, budget, census, report."""
