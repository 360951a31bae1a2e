"""Opens what SOPS and age sealed in the source. The only room that holds a secret in clear."""
