"""Things that belong to nobody, and places.

Nouns are given in the singular.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Things that belong to nobody, the easiest to show in a picture of their own first.

THINGS = _words(
    "lamp lantern candle bowl dish plate cup mug glass bottle jar jug pitcher pot pan kettle teapot vase board knife "
    "fork spoon spatula whisk utensil tray basket bucket box book notebook newspaper magazine letter map pen pencil "
    "brush paintbrush laptop computer tablet phone smartphone telephone camera microphone speaker radio television tv "
    "monitor keyboard guitar violin cello piano drum trumpet saxophone flute accordion harp ukulele ball football "
    "basketball racket skateboard surfboard snowboard bicycle bike motorcycle scooter helmet sword shield staff wand "
    "rope ladder hammer drill saw wrench toolbox axe shovel broom mop hose flower bouquet rose sunflower plant cactus "
    "apple banana pumpkin watermelon cake pizza sandwich burger bread loaf cookie pie donut croissant ice-cream "
    "lollipop balloon kite toy doll teddy gift trophy globe clock pillow cushion blanket quilt towel rug carpet "
    "painting photograph poster picture sculpture statue robot dog puppy cat kitten horse pony bird parrot owl rabbit "
    "cow sheep goat duck chicken fish turtle elephant lion tiger bear panda monkey fox deer camel mixer blender "
    "toaster wok sign flag tent suitcase easel canvas telescope microscope typewriter chessboard wheelchair stroller "
    "cart wagon sled canoe kayak paddle oar table desk chair armchair sofa couch bench stool nightstand bookshelf "
    "hammock podium car truck van bus train boat ship yacht airplane plane helicopter tractor taxi carriage notepad "
    "document papers puzzle wildflower snowball snowman sprayer grill barbecue remote game viola clarinet banjo "
    "tambourine bass frisbee bat puck trolley cupcake bun vegetable fruit strawberry tomato pepper carrot lemon grape "
    "peach noodle pasta soup salad egg cheese pancake steak sausage chocolate candy popcorn wine-glass goblet chalice "
    "thermos straw napkin tablecloth cutlery chopsticks ladle colander sponge squeegee detergent scissors needle "
    "thread yarn loom clay pottery chisel pliers screwdriver crate barrel sack envelope postcard package parcel "
    "folder scroll parchment blackboard whiteboard chalk printer headset smartwatch binoculars compass flashlight "
    "torch lighter cigarette candlestick firework campfire bonfire boulder starfish jellyfish shark whale dolphin "
    "penguin seagull pigeon swan eagle butterfly bee squirrel hamster raccoon wolf retriever corgi poodle kangaroo "
    "koala zebra giraffe dragon unicorn dinosaur tank submarine rocket spaceship gondola raft rowboat sailboat "
    "minivan limousine jeep motorbike rickshaw treadmill dumbbell barbell mat trampoline punching-bag furniture "
    "ottoman recliner rocking-chair crib cradle pedestal billboard jack-o'-lantern ornament figurine puppet mannequin "
    "record controller joystick console card deck dice domino remote-control goalpost hoop hurdle sapling nest cage "
    "aquarium"
)
THINGS |= _words(
    "kettlebell baseball stall kiosk pail razor hairdryer toothbrush soap shampoo loofah trunk sedan vacuum cleaner "
    "feather shuttlecock palette trowel rake wheelbarrow teacup saucer cardboard walkie-talkie syringe clipboard "
    "calculator ruler cane crutch whistle trimmer comb hairbrush mousepad webcam tripod projector battery charger "
    "gavel ticket passport coin banknote wallet padlock bell drumstick xylophone harmonica trombone cymbal metronome"
)
FIXTURES = _words(
    "bed dresser wardrobe bookcase shelf cabinet counter countertop headboard fireplace stove oven fridge "
    "refrigerator sink bathtub mirror chandelier curtain fountain streetlight tree bush hedge fence gate bookshelf "
    "windowsill faucet billboard closet locker"
)
# Also verbs: taken for a thing only behind an article, a number or an adjective.
DOUBTFUL_THINGS = _words(
    "book plant fish duck pan skateboard bike bicycle drum hammer paddle box map brush water ladder sign flag bear "
    "phone fence bench picture mirror board card game cage pepper straw thread needle document package bass bat "
    "lighter torch mat deck tank remote bee bun curtain cart ship train bus stool paper peach letter"
)
# Only with these in front: "a board game", but not "a lively game".
ONLY_BEHIND = {"game": _words("board card video"), "record": _words("vinyl gramophone"), "cleaner": _words("vacuum")}
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
    "spaceship cockpit subway gymnasium highway path trail newsroom newsstand marketplace rink track runway alleyway "
    "boardwalk promenade riverside lakeside riverbank stairwell staircase elevator campus schoolyard cemetery ruins "
    "fortress throne-room tavern saloon speakeasy bookstore boutique salon barbershop spa sauna clinic ward boardroom "
    "workspace facility cityscape suburb metropolis penthouse loft veranda deck gazebo pavilion pasture prairie "
    "tundra swamp marsh lagoon bay reef seabed grove clearing glade ridge summit volcano crater nursery driveway site "
    "building dojo laundromat laundry cafeteria canteen pharmacy bank courtroom prison cell bunker planetarium "
    "observatory zoo circus carnival fairground plantation ranch stable quarry mine construction-site kindergarten "
    "backstage"
)
BACKDROPS = _words(
    "backdrop wall sky skyline sunset horizon"
)  # places only after "against", "under", "in front of", ...
GENERAL_SCENES = _words("setting environment space interior facility scenery landscape countryside")
VEHICLES = _words("car truck van bus train boat ship yacht airplane plane helicopter taxi carriage")  # inside them
PLACE_WORDS = _words("in inside at on within through along across amid amidst into around beside near by throughout")
BESIDE = _words("around beside near by")
BACKDROP_WORDS = _words("against under beneath")
BEFORE_PLACE = _words("backdrop front middle heart center centre edge side top")  # "in front of", "in the middle of"
