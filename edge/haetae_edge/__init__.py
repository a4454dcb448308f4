"""haetae_edge"""
