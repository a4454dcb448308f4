"""haetae_cli"""
