"""The Kubernetes platform: the store is Secrets of one namespace, the server a Deployment in it.

Kubernetes 1.27 is the oldest: the first that by default lets a node be emptied of pods that are not ready, whatever
their budget. Pod Security admission is stable since 1.25; policy/v1 and CronJobs of batch/v1 are older.
"""
