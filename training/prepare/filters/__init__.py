"""The filters, one module each: what each measures of a clip, and when it rejects one.

`clip_filter.py` is what they have in common, `all_filters.py` opens those that the settings ask for.
"""
