"""haetae_demo"""
