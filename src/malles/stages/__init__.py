"""One file per stage of the road: asks the rooms, keeps the answer in the run folder."""
