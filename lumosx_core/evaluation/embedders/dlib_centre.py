"""The middle of all faces in the space of dlib's network.

Its vectors all point in nearly one direction: two strangers have a cosine of 0.85. What tells them apart is measured
from the mean vector of many people, here of 40 in 14 photos, none of them twice: from there two strangers are at 0 on
average. The mean is of vectors of length 1, each of a crop and its mirror image, rounded to four digits.
"""

import torch

_TEN_THOUSANDTHS = """
    -569 646 531 -475 -786 -123 -445 -714 1105 -655 1283 -383 -1644 12 -365 1137 -1188 -995 -601 -400 187 294
    151 438 -901 -2158 -445 -506 108 -664 -33 420 -1225 -70 198 590 -290 -706 1162 45 -1592 -85 362 1785 1369 73
    182 -611 767 -1859 263 1126 438 423 388 -1190 139 946 -1114 334 624 -502 -132 -571 1454 743 -962 -1042 1077
    -1035 -353 573 -861 -1283 -1897 39 2693 864 -1077 217 -440 67 178 824 -370 62 -598 198 1403 -237 -26 1662
    -46 -98 38 427 -816 32 -840 -62 70 -333 0 820 -1212 1117 -157 -42 -40 -74 -472 -297 1132 -1712 1087 1201 411
    934 461 571 56 -183 -1147 -376 251 -369 57 234
"""
CENTRE = torch.tensor([int(number) for number in _TEN_THOUSANDTHS.split()]) / 10_000
