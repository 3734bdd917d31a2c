"""The Kubernetes platform: the store is Secrets of one namespace, the server a Deployment in it.

Kubernetes 1.25 is the oldest: the first whose Pod Security admission is stable; policy/v1 and CronJobs of batch/v1 are
older.
"""
