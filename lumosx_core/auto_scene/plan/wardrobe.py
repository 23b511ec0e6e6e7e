"""What people wear and carry, and what is only a part of clothes or of a body.

Nouns are given in the singular, unless they have none (trousers).
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GARMENTS = _words(
    "jacket coat shirt t-shirt tshirt tee blouse sweater sweatshirt jumper cardigan hoodie pullover vest waistcoat "
    "blazer suit tuxedo dress sundress gown skirt top turtleneck polo tank-top kimono sari robe bathrobe cape cloak "
    "poncho uniform apron overalls dungarees jumpsuit romper pajamas pyjamas swimsuit bikini leotard tutu jersey "
    "tunic toga armor armour costume jeans trousers pants shorts leggings tights stockings slacks chinos parka "
    "raincoat overcoat windbreaker anorak trench-coat spacesuit wetsuit camisole corset bra shoe boot sneaker sandal "
    "heel heels slipper loafer trainers sock hat cap beanie beret fedora helmet hood turban crown tiara headscarf "
    "hijab bonnet sombrero headband hairband bandana headphone headphones headset earbuds glasses sunglasses "
    "eyeglasses spectacles goggles monocle mask scarf shawl tie necktie bowtie bow-tie cravat necklace pendant choker "
    "chain lanyard earring earrings bracelet bangle watch wristwatch ring brooch badge bow ribbon glove gloves mitten "
    "mittens belt sash suspenders braces bag handbag backpack purse satchel tote briefcase suitcase umbrella parasol "
    "hairpin barrette wreath garland veil scrubs tracksuit sweatsuit pantsuit catsuit bodysuit onesie coverall "
    "coveralls joggers sweatpants capris culottes breeches trunks kilt sarong hanbok qipao cheongsam hanfu yukata "
    "dirndl lederhosen habit cassock nightgown negligee bib harness holster wristband armband anklet cufflink "
    "breastplate chainmail gauntlet gear activewear sportswear swimwear workwear loungewear eyepatch stethoscope "
    "earpiece earphone earphones headwrap headdress headpiece hairnet scrunchie peacoat trenchcoat fleece flannel "
    "caftan kaftan abaya niqab burqa dupatta lehenga kurta sherwani kippah keffiyeh fez stetson clog flip-flop flip- "
    "flops moccasin stiletto cleats galoshes coverup denims khakis henley bralette bustier kneepad kneepads earmuffs "
    "haori obi thobe surcoat tabard salopettes gilet dungaree sunhat sunbonnet swimcap toque bracers bracer "
    "lifejacket one-piece frock pinafore visor boutonniere corsage smock doublet chiton boa pumps flats jewelry "
    "jewellery"
)
# Of these a plain "and adjusts ties" or "glasses of wine" is something else.
DOUBTFUL_GARMENTS = _words("top watch tie ring suit dress cap coat chain tee heel crown hood mask bag braces belt polo")
DOUBTFUL_GARMENTS |= _words("trainers vest bow shorts sock boot jersey glasses costume habit harness boa pumps flats")
DOUBTFUL_GARMENTS |= _words("trunks gear fleece flannel clog holster bib scrubs")
WORN_IN_PAIRS = _words(
    "jeans trousers pants shorts leggings tights stockings slacks chinos overalls dungarees pajamas pyjamas heels "
    "headphones earbuds glasses sunglasses eyeglasses spectacles goggles suspenders braces shoe boot sneaker sandal "
    "heel slipper loafer trainers sock earring glove mitten earrings gloves mittens scrubs joggers sweatpants capris "
    "culottes breeches trunks lederhosen coveralls earphone earphones flip-flop flip-flops moccasin stiletto cleats "
    "galoshes denims khakis kneepad kneepads cufflink clog pumps flats"
)
OUTFIT_WORDS = _words("outfit costume attire clothing clothes ensemble")  # "his outfit consists of ..."

# Parts of clothes and of bodies: nobody wears them by themselves.
GARMENT_PARTS = _words(
    "collar sleeve cuff button pocket zipper zip hem lapel logo print pattern stripe trim lining lace embroidery "
    "buckle strap drawstring fringe seam neckline waistband frame lens brim patch hat-band"
)
BODY = _words(
    "hair hairstyle beard mustache moustache goatee stubble face head hand arm eye eyebrow lip mouth nose ear cheek "
    "forehead neck shoulder chest waist hip leg foot feet finger knee skin smile expression ponytail bun braid braids "
    "bangs fringe curl freckle tattoo makeup lipstick body back lap wrist ankle"
)
