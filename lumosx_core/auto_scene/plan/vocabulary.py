"""The English words that the reader of prompts knows: people, the words between, and adjectives.

Nouns are given in the singular, unless they have none (trousers). A word that is in several lists, those of `wardrobe`
and `surroundings` included, belongs to the first of them in the order of `kind_of`.
"""

from __future__ import annotations

from . import surroundings, wardrobe


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# People: noun -> (sex, age), "" for either. Roles say more than that: a chef is not a waiter.

MEN = _words(
    "man gentleman guy gent bloke fellow dude chap male husband father dad grandfather grandpa groom king uncle"
)
MEN |= _words("businessman boyfriend")
WOMEN = _words(
    "woman lady gal female wife mother mom mum grandmother grandma bride queen aunt businesswoman girlfriend"
)
BOYS = _words("boy lad son grandson brother nephew prince")
GIRLS = _words("girl lass daughter granddaughter sister niece princess")
CHILDREN = _words("child kid toddler baby infant newborn")
ANYONE = _words("person individual human adult teenager teen youth youngster senior figure protagonist")
ROLES = _words(
    "accountant activist actor actress adventurer anchor archer architect artisan artist assistant astronaut athlete "
    "baker ballerina banker barber barista bartender bassist biker blacksmith blogger bodybuilder boss boxer builder "
    "butcher butler captain caregiver carpenter cashier celebrity agent chef client climber clown coach colleague "
    "commander companion conductor cook courier cousin cowboy cowgirl craftsman customer cyclist dancer "
    "dentist detective doctor driver drummer duchess emperor employee empress engineer entrepreneur executive "
    "explorer farmer fiancé fiancée fighter filmmaker firefighter fisherman florist friend gamer gardener geisha "
    "gladiator golfer guard guest guitarist gymnast hairdresser hero heroine hiker host hostess housekeeper hunter "
    "influencer instructor interviewer janitor jogger journalist judge juggler keyboardist knight lawyer librarian "
    "magician maid manager mechanic mentor merchant model monk musician nanny ninja nun nurse officer opponent "
    "painter partner passenger patient pedestrian performer pharmacist photographer pianist pilgrim pilot pirate "
    "player plumber policeman policewoman politician postman potter presenter priest professor programmer protester "
    "psychiatrist rapper receptionist reporter researcher rider roommate runner sailor salesman salesperson "
    "saleswoman samurai scientist sculptor seamstress secretary seller shaman shopper singer skater skier snowboarder "
    "soldier sorcerer sorceress speaker spouse stranger streamer student superhero surfer surgeon swimmer swordsman "
    "tailor teacher teammate technician teller therapist thief tourist trainee trainer traveler traveller vampire "
    "vendor villain violinist visitor vlogger vocalist volunteer waiter waitress warrior weaver welder witch wizard "
    "worker wrestler"
)
ROLE_SEX = {
    **dict.fromkeys(
        _words("actor cowboy emperor fisherman monk policeman priest salesman sorcerer waiter wizard"), "m"
    ),
    **dict.fromkeys(_words("actress ballerina cowgirl duchess empress fiancée geisha heroine hostess maid nun"), "f"),
    **dict.fromkeys(_words("policewoman saleswoman seamstress sorceress waitress witch"), "f"),
}
RELATIVES = _words(
    "husband father dad grandfather grandpa groom king uncle wife mother mom mum grandmother grandma bride queen aunt "
    "son grandson brother nephew prince daughter granddaughter sister niece princess businessman businesswoman "
    "boyfriend girlfriend"
)
# "His partner" is the other one of two people who were named, if there is one.
COUNTERPARTS = _words("partner companion spouse husband wife boyfriend girlfriend opponent teammate colleague friend")

PEOPLE: dict[str, tuple[str, str]] = {
    **{word: (ROLE_SEX.get(word, ""), "") for word in ROLES},
    **dict.fromkeys(MEN, ("m", "adult")),
    **dict.fromkeys(WOMEN, ("f", "adult")),
    **dict.fromkeys(BOYS, ("m", "child")),
    **dict.fromkeys(GIRLS, ("f", "child")),
    **dict.fromkeys(CHILDREN, ("", "child")),
    **dict.fromkeys(ANYONE, ("", "")),
}
# People without another noun. Of the last ones no article is needed in front.
GROUPS = {"couple": 2, "duo": 2, "pair": 2, "trio": 3, "quartet": 4, "twins": 2, "parents": 2, "newlyweds": 2}
PLURAL_GROUPS = _words("twins parents newlyweds couple")
DOERS = _words(
    "player rider cyclist performer athlete gamer runner artist musician worker"
)  # what anyone may turn out to be
MACHINE_BEFORE = _words("vinyl record music cd dvd media video cassette bluetooth vacuum smart")  # "vinyl player"

IRREGULAR = {
    **{"men": "man", "women": "woman", "people": "person", "children": "child", "wives": "wife", "ladies": "lady"},
    **{"gentlemen": "gentleman", "knives": "knife", "scarves": "scarf", "shelves": "shelf", "loaves": "loaf"},
    **{"businessmen": "businessman", "policemen": "policeman", "fishermen": "fisherman", "leaves": "leaf"},
    **{"businesswomen": "businesswoman", "policewomen": "policewoman", "salesmen": "salesman", "heroes": "hero"},
    **{"craftsmen": "craftsman", "swordsmen": "swordsman", "thieves": "thief", "cacti": "cactus"},
}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
NUMBERS |= {str(number): number for number in range(2, 21)}

# What tells one person from another of the same kind. Two words of one row exclude each other.
DISTINCTIONS = [
    _words("left leftmost right rightmost middle center centre central"),
    _words("first second third fourth last"),
    _words("younger older young old elderly elder middle-aged"),
    _words("seated sitting standing kneeling"),
    _words("front rear back"),
    _words("taller shorter tall short"),
    _words("blonde blond brunette redhead red-haired dark-haired blonde-haired bald"),
]
SAME_DISTINCTION = {
    **{"leftmost": "left", "rightmost": "right", "center": "middle", "centre": "middle", "central": "middle"},
    **{"young": "younger", "old": "older", "elderly": "older", "elder": "older", "tall": "taller", "short": "shorter"},
    **{"blond": "blonde", "blonde-haired": "blonde", "redhead": "red-haired", "sitting": "seated", "back": "rear"},
}
PLACED = _words("standing sitting seated positioned located kneeling leaning placed stands sits lying walking")

# Pronouns

SUBJECT_PRONOUNS = {"he": "m", "she": "f"}  # "beside him" is somebody else
POSSESSIVES = {"his": "m", "her": "f"}  # "her" is read as possessive only: she who is looked at wears nothing by it
EVERYONE = _words("they both all each everyone everybody")
SUBJECTS = _words("he she they it who which that we i")  # a verb follows
OBJECT_PRONOUNS = _words("him them me us it himself herself themselves itself")

# Words between

ARTICLES = _words("a an the this that these those its his her their my your our one another some several each every")
ARTICLES |= _words("no any both other many few matching")
FUNCTION_WORDS = OBJECT_PRONOUNS | _words(
    "and or but nor yet while as then than in inside on at of off over under underneath beneath beside besides near "
    "by behind between with without within from to into onto toward towards through along across against around for "
    "about above below after before during is are was were be been being has have had having do does did will would "
    "can could may might must not also he him she they them it who whom whose which that there here where when "
    "wearing wears wear wore dressed clad sporting donning dons attired outfitted holding holds hold held carrying "
    "carries carry clutching gripping paired featuring features next up out down his her their its"
)
WEAR_WORDS = _words("wearing wears wear wore dressed clad sporting sports donning dons attired outfitted")
HOLD_WORDS = _words("holding holds hold carrying carries carry clutching gripping has have had")
PUTTING_ON = _words("wearing wears wear wore sporting sports donning dons")  # directly before a garment
PUTTING = _words("puts put putting slips slipping pulls pulling tries trying")  # "puts on a coat"
GRASPING = _words("holding holds carrying carries clutching clutches gripping grips wielding wields cradling cradles")
NOT_TO_BE_HELD = _words(  # "holding a pose", "wearing a smile"
    "pose conversation gaze glance smile grin frown expression look breath position moment stance discussion speech "
    "meeting note sign hand place posture balance grudge secret dialogue grip mood air weight pair set array "
    "assortment worn cluster variety item items thing things collection handful stack pile couple bunch bit piece lot "
    "kind type attire outfit clothing ensemble"
)
NO_PLACES = _words(  # "in a moment"
    "moment video scene display series sequence shot clip manner instant burst flash style frame image picture word "
    "pose way blend mix dance circle row line hurry rush swirl blur array variety"
)
HANDLING = _words(
    "adjusts straightens fixes puts pulls ties buttons zips removes takes tips smooths clutches grips features"
)
CLAUSE_STARTS = _words("while as where when")
NOT_A_HEAD_BEFORE = _words(
    "rack store view perspective scene angle pov department holder hook movement movements motion work lens equipment "
    "lighting pose stance shuffle arch pieces piece shot shots footage screen door doors window windows partition "
    "partitions"
)
# Nouns and adverbs that are no description of the next noun: "in the distance, hazy mountains".
NO_MODIFIERS = _words(
    "distance background foreground middle center centre front side possibly likely perhaps probably presumably maybe "
    "apparently occasionally nearby sound sounds glow"
)
SENSED = _words(  # "the sound of birds", "a reflection of trees": not there to be shown
    "sound sounds aroma scent smell hint hum rhythm melody melodies notes reflection reflections silhouette shape "
    "shadow shadows image images sense idea memory memories thought dream chirping rustle murmur clinking shade "
    "shades"
)
METAPHORS = _words(
    "sea ocean canvas mask blanket carpet island mountain tapestry sheet curtain stage"
)  # "a sea of cars"
SENTENCE_STARTS = _words(
    "outside inside indoors outdoors nearby barefoot alone today then later meanwhile everyone everybody somebody "
    "someone nobody i we you"
)
NEGATIONS = _words("no without not never nor neither n't")
COPULAS = _words("is are was were be being become becomes becoming resembling resembles")
AS_PREDICATE = _words(  # "dressed as a wizard", but "as a man walks by"
    "dressed known working works serving serves disguised described acting identified portrayed costumed costume "
    "career poses posing depicted"
)
HEDGES = _words("likely possibly perhaps probably presumably apparently also not actually indeed maybe either clearly")

# Adjectives that are kept where nothing else shows where a phrase begins; with an article before it all are.

COLOURS = _words(
    "black white red green blue yellow orange purple pink brown grey gray beige tan cream ivory gold golden silver "
    "bronze copper navy maroon burgundy crimson scarlet turquoise teal cyan magenta violet lavender olive khaki mint "
    "coral peach mustard charcoal indigo lilac emerald ruby sapphire"
)
MODIFIERS = COLOURS | _words(
    "multicolored colorful colourful light dark bright pale deep pastel neon denim leather wool woolen woollen cotton "
    "silk satin velvet linen knit knitted fur faux furry fleece suede lace tweed corduroy flannel cashmere chiffon "
    "sequin plastic metal metallic wooden wood glass ceramic porcelain steel stainless iron brass stone marble bamboo "
    "wicker rattan straw paper cardboard crystal diamond pearl striped plaid checkered checked floral polka dot "
    "dotted patterned printed embroidered plain tie-dye camouflage camo paisley tartan argyle quilted ribbed long "
    "short large small big little tiny thin thick wide narrow tall oversized loose tight fitted cropped slim round "
    "square oval rectangular pointed high-heeled sleeveless short-sleeved long-sleeved hooded button-up button-down "
    "zip-up v-neck off-shoulder strapless collared double-breasted single-breasted pleated ripped vintage retro old "
    "new modern antique rustic elegant formal casual traditional sporty baseball cowboy bucket top trucker winter "
    "summer rain sun trench bomber puffer sports dress evening wedding cocktail ball tank crop polo bow hoop beaded "
    "handmade acoustic electric potted framed cutting mixing baking bedside coffee dining kitchen table desk floor "
    "wine beer tea water cozy cosy warmly lit sunny snowy busy crowded empty spacious minimalist minimalistic "
    "industrial urban rural tropical sandy lush living conference running hiking riding swimming climbing skiing "
    "reading working driving bathing training walking combat athletic protective surgical medical soft pinstripe "
    "pinstriped tailored matching cable-knit flowing graphic life lab ski yoga cargo chef business school military "
    "swim police nurse sailor designer aviator safety"
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
    ("garment", wardrobe.GARMENTS),
    ("part", wardrobe.GARMENT_PARTS),
    ("body", wardrobe.BODY),
    ("object", surroundings.THINGS | surroundings.FIXTURES),
    ("scene", surroundings.SCENES),
]
_NOUNS = frozenset().union(*(set(nouns) for _, nouns in _KINDS), surroundings.BACKDROPS, GROUPS)
