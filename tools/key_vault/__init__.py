"""A stand-in for Azure Key Vault's data plane: secrets, as the REST API of the service has them. For tests only.

    problems     the errors, in the words and shape of Azure
    roles        which principal may do what on which secret, by Azure's own built-in roles
    vault        one vault: its secrets, their versions, what is soft-deleted
    audit        the row that each request leaves in the table AZKVAuditLogs
    server       HTTPS on loopback, for any number of vaults; faults on request
    description  Azure's published OpenAPI description, and whether a request and its answer keep to it

It proves the client's side: that what our code sends is what the description allows, and that it takes what Azure
answers, throttling and half-done requests included. It proves nothing about Azure. What a rule of it is taken from is
said where it is kept; the errors' words are those of real answers that users reported to Microsoft's repositories.
"""
