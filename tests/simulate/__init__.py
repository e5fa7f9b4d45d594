"""Both ends of sessions in virtual time, with a hostile network between them and a seed for everything.

The agent's and the technician's real code runs: sessions, asks, grants, channels, commands, input, policy.
Only the edges are played: network and relay (`network`), the person and the desktop process (`desktop`), the
technician's hands (`technicians`), the exec worker (`exec_worker`), and, in most schedules, the cipher
(`records`). `oracle` watches from outside and knows nothing of how the code decides.

`python -m tests.simulate --seeds 1000` runs; README.md says more.
"""
