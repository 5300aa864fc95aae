"""The four numbers of an ankle exoskeleton's torque law: their ranges, and a law that is good for everyone.

A law is peak torque (N·m per kg of body mass), peak time, rise time and fall time (% of a stride, from heel strike to
the next of the same foot). It is feasible if each number is in its range, its onset (peak − rise) is not before heel
strike and its end (peak + fall) not after 65 % of the stride.

The ranges: torque to 1 N·m/kg and rise time from Slade et al. 2022 (their released code); peak and fall time from a
textbook's account of Poggensee & Collins 2021, not read there. That the torque has ended at 65 % is the source's
(Zhang et al. 2017); that it may end earlier is our interpretation.
"""

LOWEST, HIGHEST = (0.0, 35.0, 10.0, 5.0), (1.0, 55.0, 40.0, 20.0)
LATEST_END = 65.0  # % stride, the toes leave the ground
#: The same law for everybody in Poggensee & Collins 2021: torque and peak time as in the data that Slade et al.
#: 2022 released; rise and fall time from PredSim's ankle example, which we take to be the same law.
GENERIC = (0.536, 52.91, 26.2, 9.8)
