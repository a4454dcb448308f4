"""haetae_policy"""
