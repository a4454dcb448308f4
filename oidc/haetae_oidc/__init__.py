"""haetae_oidc"""
