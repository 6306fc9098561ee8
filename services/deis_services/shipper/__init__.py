"""The log shipper: one a node, reads what the kubelet keeps of applications' output (decision 0020).

It reads `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log`, where the links of
`/var/log/containers` lead, of pods that the API server calls an application's, and nothing else.
Lines go onto `deis.log.<app>` with a number each; where it is in a file is kept on the node.
"""
