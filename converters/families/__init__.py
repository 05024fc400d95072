"""Network families: each reads published weights and is written once against `converters.ops`."""
