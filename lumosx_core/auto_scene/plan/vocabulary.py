"""The English words that the reader of prompts knows: people, what they wear, things, places, and the words between.

Nouns are given in the singular, unless they have none (trousers). A word that is in several lists belongs to the first
of them in the order of `kind_of`.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# People: noun -> (sex, age), "" for either. Roles say more than that: a chef is not a waiter.

MEN = _words("man gentleman guy gent bloke fellow male husband father dad grandfather groom king businessman")
WOMEN = _words("woman lady female wife mother mom mum grandmother bride queen businesswoman")
BOYS = _words("boy lad son brother prince")
GIRLS = _words("girl lass daughter sister princess")
CHILDREN = _words("child kid toddler baby")
ANYONE = _words("person individual human adult teenager youth")
ROLES = _words(
    "actor actress artist astronaut athlete baker barista bartender biker boxer builder chef clown coach colleague "
    "cook cowboy cyclist dancer detective doctor driver drummer engineer farmer firefighter fisherman friend "
    "gardener guitarist hiker hunter knight mechanic model monk musician nun nurse painter pianist pilot pirate "
    "player policeman policewoman presenter priest reporter runner sailor samurai scientist singer skater soldier "
    "speaker student surfer swimmer tailor teacher tourist traveler violinist waiter waitress warrior wizard witch "
    "worker"
)
ROLE_SEX = {
    **dict.fromkeys(_words("actor cowboy fisherman monk policeman priest waiter wizard"), "m"),
    **dict.fromkeys(_words("actress nun policewoman waitress witch"), "f"),
}
RELATIVES = _words("husband father dad grandfather groom king wife mother mom mum grandmother bride queen son brother")
RELATIVES |= _words("prince daughter sister princess businessman businesswoman")

PEOPLE: dict[str, tuple[str, str]] = {
    **{word: (ROLE_SEX.get(word, ""), "") for word in ROLES},
    **dict.fromkeys(MEN, ("m", "adult")),
    **dict.fromkeys(WOMEN, ("f", "adult")),
    **dict.fromkeys(BOYS, ("m", "child")),
    **dict.fromkeys(GIRLS, ("f", "child")),
    **dict.fromkeys(CHILDREN, ("", "child")),
    **dict.fromkeys(ANYONE, ("", "")),
}
GROUPS = {"couple": 2, "duo": 2, "pair": 2, "trio": 3, "quartet": 4, "twins": 2}  # people without another noun

IRREGULAR = {
    **{"men": "man", "women": "woman", "people": "person", "children": "child", "wives": "wife", "ladies": "lady"},
    **{"gentlemen": "gentleman", "knives": "knife", "scarves": "scarf", "shelves": "shelf", "loaves": "loaf"},
    **{"businessmen": "businessman", "policemen": "policeman", "fishermen": "fisherman", "leaves": "leaf"},
    **{"businesswomen": "businesswoman", "policewomen": "policewoman"},
}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
NUMBERS |= {str(number): number for number in range(2, 21)}

# What tells one person from another of the same kind. Two words of one row exclude each other.
DISTINCTIONS = [
    _words("left leftmost right rightmost middle center centre central"),
    _words("first second third fourth last"),
    _words("younger older young old elderly elder"),
    _words("taller shorter tall short"),
    _words("blonde blond brunette redhead red-haired dark-haired blonde-haired bald"),
]
SAME_DISTINCTION = {
    **{"leftmost": "left", "rightmost": "right", "center": "middle", "centre": "middle", "central": "middle"},
    **{"young": "younger", "old": "older", "elderly": "older", "elder": "older", "tall": "taller", "short": "shorter"},
    **{"blond": "blonde", "blonde-haired": "blonde", "redhead": "red-haired"},
}
PLACED = _words("standing sitting seated positioned located kneeling leaning placed stands sits lying walking")

# Pronouns

SUBJECT_PRONOUNS = {"he": "m", "him": "m", "she": "f"}
POSSESSIVES = {"his": "m", "her": "f"}  # "her" is read as possessive only: she who is looked at wears nothing by it
EVERYONE = _words("they both all each everyone everybody")

# What people wear and carry

GARMENTS = _words(
    "jacket coat shirt t-shirt tshirt tee blouse sweater sweatshirt jumper cardigan hoodie pullover vest waistcoat "
    "blazer suit tuxedo dress sundress gown skirt top turtleneck polo tank-top kimono sari robe bathrobe cape cloak "
    "poncho uniform apron overalls dungarees jumpsuit romper pajamas pyjamas swimsuit bikini leotard tutu jersey "
    "tunic toga armor armour costume jeans trousers pants shorts leggings tights stockings slacks chinos parka "
    "raincoat overcoat windbreaker anorak trench-coat spacesuit wetsuit camisole corset bra shoe boot sneaker sandal "
    "heel heels slipper loafer trainer sock hat cap beanie beret fedora helmet hood turban crown tiara headscarf "
    "hijab bonnet sombrero headband hairband bandana headphone headphones headset earbuds glasses sunglasses "
    "eyeglasses spectacles goggles monocle mask scarf shawl tie necktie bowtie bow-tie cravat necklace pendant "
    "choker chain lanyard earring earrings bracelet bangle watch wristwatch ring brooch badge bow ribbon glove "
    "gloves mitten mittens belt sash suspenders braces bag handbag backpack purse satchel tote briefcase suitcase "
    "umbrella parasol hairpin barrette wreath garland veil"
)
# Of these a plain "and adjusts ties" or "glasses of wine" is something else.
DOUBTFUL_GARMENTS = _words("top watch tie ring suit dress cap coat chain tee heel crown hood mask bag braces belt polo")
DOUBTFUL_GARMENTS |= _words("trainer vest bow shorts sock boot jersey glasses costume")
WORN_IN_PAIRS = _words(
    "jeans trousers pants shorts leggings tights stockings slacks chinos overalls dungarees pajamas pyjamas heels "
    "headphones earbuds glasses sunglasses eyeglasses spectacles goggles suspenders braces shoe boot sneaker sandal "
    "heel slipper loafer trainer sock earring glove mitten earrings gloves mittens"
)
OUTFIT_WORDS = _words("outfit costume attire clothing clothes ensemble")  # "his outfit consists of ..."

# Parts of clothes and of bodies: nobody wears them by themselves.
GARMENT_PARTS = _words(
    "collar sleeve cuff button pocket zipper zip hem lapel logo print pattern stripe trim lining lace embroidery "
    "buckle strap drawstring fringe seam neckline waistband frame lens brim visor patch hat-band"
)
BODY = _words(
    "hair hairstyle beard mustache moustache goatee stubble face head hand arm eye eyebrow lip mouth nose ear cheek "
    "forehead neck shoulder chest waist hip leg foot feet finger knee skin smile expression ponytail bun braid "
    "braids bangs fringe curl freckle tattoo makeup lipstick body back lap wrist ankle"
)

# Things that belong to nobody, the easiest to show in a picture of their own first.

THINGS = _words(
    "lamp lantern candle bowl dish plate cup mug glass bottle jar jug pitcher pot pan kettle teapot vase board knife "
    "fork spoon spatula whisk utensil tray basket bucket box book notebook newspaper magazine letter map pen pencil "
    "brush paintbrush laptop computer tablet phone smartphone telephone camera microphone speaker radio television "
    "tv monitor keyboard guitar violin cello piano drum trumpet saxophone flute accordion harp ukulele ball football "
    "basketball racket skateboard surfboard snowboard bicycle bike motorcycle scooter helmet sword shield staff wand "
    "rope ladder hammer drill saw wrench toolbox axe shovel broom mop hose flower bouquet rose sunflower plant "
    "cactus apple banana pumpkin watermelon cake pizza sandwich burger bread loaf cookie pie donut croissant "
    "ice-cream lollipop balloon kite toy doll teddy gift trophy globe clock pillow cushion blanket quilt towel rug "
    "carpet painting photograph poster picture sculpture statue robot dog puppy cat kitten horse pony bird parrot "
    "owl rabbit cow sheep goat duck chicken fish turtle elephant lion tiger bear panda monkey fox deer camel mixer "
    "blender toaster wok sign flag tent suitcase easel canvas telescope microscope typewriter chessboard wheelchair "
    "stroller cart wagon sled canoe kayak paddle oar table desk chair armchair sofa couch bench stool nightstand "
    "bookshelf hammock podium car truck van bus train boat ship yacht airplane plane helicopter tractor taxi "
    "carriage"
)
FIXTURES = _words(
    "bed dresser wardrobe bookcase shelf cabinet counter countertop headboard fireplace stove oven fridge "
    "refrigerator sink bathtub mirror chandelier curtain fountain streetlight tree bush hedge fence gate"
)
# Also verbs: taken for a thing only behind an article, a number or an adjective.
DOUBTFUL_THINGS = _words(
    "book plant fish duck pan skateboard bike bicycle drum hammer paddle box map brush water ladder sign flag bear "
    "phone fence bench picture"
)
CONTAINERS = _words(
    "cup mug glass bottle jar jug pitcher bowl plate dish basket bucket box bouquet tray pot slice loaf"
)

# Places

SCENES = _words(
    "room bedroom kitchen bathroom office studio hall hallway lobby corridor library classroom restaurant cafe café "
    "bar pub diner bakery gym shop store supermarket market mall hospital laboratory lab workshop garage warehouse "
    "factory church cathedral temple museum gallery theater theatre cinema stadium arena court stage auditorium "
    "airport station interior setting environment space apartment house home cabin cottage castle palace mansion "
    "villa hotel balcony terrace patio porch rooftop courtyard garden backyard yard park playground street alley "
    "avenue road sidewalk square plaza city town village neighborhood bridge pier harbor harbour dock beach coast "
    "shore seaside ocean sea lake river waterfall pool forest woods jungle field meadow farm barn vineyard orchard "
    "desert dunes canyon valley mountain mountains hill hillside cliff cave island countryside landscape scenery "
    "savanna glacier battlefield basement attic lounge ballroom nightclub club casino greenhouse conservatory "
    "spaceship cockpit subway"
)
BACKDROPS = _words(
    "backdrop wall sky skyline sunset horizon"
)  # places only after "against", "under", "in front of", ...
VEHICLES = _words("car truck van bus train boat ship yacht airplane plane helicopter taxi carriage")  # inside them
PLACE_WORDS = _words("in inside at on within through along across amid amidst into around beside near by throughout")
BACKDROP_WORDS = _words("against under beneath of")

# Words between

ARTICLES = _words("a an the this that these those its his her their my your our one another some several each every")
ARTICLES |= _words("no any both other many few matching")
FUNCTION_WORDS = _words(
    "and or but nor while as then than in inside on at of off over under underneath beneath beside besides near by "
    "behind between with without within from to into onto toward towards through along across against around for "
    "about above below after before during is are was were be been being has have had having do does did will would "
    "can could may might must not also he him she they them it who whom whose which that there here where when "
    "wearing wears wear wore dressed dresses clad sporting sports donning dons attired outfitted holding holds hold "
    "held carrying carries carry clutching gripping paired featuring features next up out down his her their its"
)
WEAR_WORDS = _words("wearing wears wear wore dressed clad sporting sports donning dons attired outfitted")
HOLD_WORDS = _words("holding holds hold carrying carries carry clutching gripping has have had")
CLAUSE_STARTS = _words("while as where when")
NOT_A_HEAD_BEFORE = _words("rack store view perspective scene angle pov department holder hook")

# Adjectives that are kept where nothing else shows where a phrase begins; with an article before it all are.

COLOURS = _words(
    "black white red green blue yellow orange purple pink brown grey gray beige tan cream ivory gold golden silver "
    "bronze copper navy maroon burgundy crimson scarlet turquoise teal cyan magenta violet lavender olive khaki mint "
    "coral peach mustard charcoal indigo lilac emerald ruby sapphire"
)
MODIFIERS = COLOURS | _words(
    "multicolored colorful colourful light dark bright pale deep pastel neon denim leather wool woolen woollen "
    "cotton silk satin velvet linen knit knitted fur faux furry fleece suede lace tweed corduroy flannel cashmere "
    "chiffon sequin plastic metal metallic wooden wood glass ceramic porcelain steel stainless iron brass stone "
    "marble bamboo wicker rattan straw paper cardboard crystal diamond pearl striped plaid checkered checked floral "
    "polka dot dotted patterned printed embroidered plain tie-dye camouflage camo paisley tartan argyle quilted "
    "ribbed long short large small big little tiny thin thick wide narrow tall oversized loose tight fitted cropped "
    "slim round square oval rectangular pointed high-heeled sleeveless short-sleeved long-sleeved hooded button-up "
    "button-down zip-up v-neck off-shoulder strapless collared double-breasted single-breasted pleated ripped "
    "vintage retro old new modern antique rustic elegant formal casual traditional sporty baseball cowboy bucket top "
    "trucker winter summer rain sun trench bomber puffer sports dress evening wedding cocktail ball tank crop polo "
    "bow hoop beaded handmade acoustic electric potted framed cutting mixing baking bedside coffee dining kitchen "
    "table desk floor wine beer tea water cozy cosy warmly lit sunny snowy busy crowded empty spacious minimalist "
    "minimalistic industrial urban rural tropical sandy lush living conference"
)
OPINIONS = _words("very rather quite slightly matching stylish fashionable beautiful nice lovely pretty similar same")
OPINIONS |= _words("simple classic trendy chic")


def kind_of(word: str) -> str | None:
    """What a lower-case word names: "person", "garment", "part", "body", "object", "scene", or nothing known."""
    for candidate in (word, singular(word)):
        for kind, nouns in _KINDS:
            if candidate in nouns:
                return kind
    return None


def singular(word: str) -> str:
    """The singular of a known noun; any other word as it is."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    for ending, replacement in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and (stem := word[: -len(ending)] + replacement) in _NOUNS:
            return stem
    return word


_KINDS: list[tuple[str, frozenset[str] | dict]] = [
    ("person", PEOPLE),
    ("garment", GARMENTS),
    ("part", GARMENT_PARTS),
    ("body", BODY),
    ("object", THINGS | FIXTURES),
    ("scene", SCENES),
]
_NOUNS = frozenset().union(*(set(nouns) for _, nouns in _KINDS), BACKDROPS, GROUPS)
