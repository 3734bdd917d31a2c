"""The AWS platform: Secrets Manager as the store, ECS Fargate for the server."""
