"""The AWS platform: the store is Secrets Manager with its rotation and its trail, the server runs on ECS Fargate."""
