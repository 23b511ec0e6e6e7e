"""Samples of any source as data sets of other trainers: `lumosx export`.

None of these trainers knows owners. What each can take is in its module; what it cannot is counted in the result, and
`owners.jsonl` beside the data set keeps who wears what.
"""
