"""Words for generated application names (api.md 6.1): each name is 15 characters long."""

ADJECTIVES = tuple(
    """
    active adroit amused ardent artful astute august avowed
    benign bolder bonnie bouncy brainy breezy bright bubbly
    candid caring casual cheery clever comely cosmic crispy
    dainty dapper daring decent devout direct docile driven
    earned earthy easier elated elfish entire exotic expert
    fabled famous fervid floral fluent fluffy frosty frugal
    genial gentle gifted gilded global golden grassy groovy
    hearty heroic hidden honest hourly humane humble hushed
    iconic inborn indigo inland innate intact inward italic
    jagged jaunty joking jovial joyful joyous jungly junior
    karmic keener kinder kindly kingly kitted knobby knotty
    lavish lawful likely limber lively lovely loving lucent
    mature mellow mighty minted mobile modern modest mutual
    narrow native nearby nested nimble noetic nordic normal
    oblong online onward opaque opened orange ornate owlish
    pastel pearly placid plucky polite primal prompt proper
    quaggy quaint quaked quarto queued quippy quirky quoted
    radial rested rising robust rococo rosier rugged rustic
    serene silken silver simple smooth snazzy speedy steady
    tender tidied timely tinted tiptop toasty trusty tufted
    unique united upbeat uphill upward urbane usable useful
    valued varied velvet verbal vernal viable violet visual
    warmer wavier wiggly winged wintry wooden woolly worthy
    yachty yarned yclept yearly yeasty yellow yester yonder
    zanier zapped zested zigzag zinced zipped zonked zoomed
    """.split()  # noqa: SIM905 - reads better than 200 quoted words
)
"""200 of six letters, eight for each initial but x."""

NOUNS = tuple(
    """
    aardvark airplane alphabet anaconda antelope aquarium armchair artifact asteroid backpack
    ballpark barnacle birdbath birdsong bluebell bluebird boatyard bookcase bookmark
    bracelet broccoli bullfrog bungalow calendar campfire campsite capybara cardamom carousel
    cashmere castanet catapult cauldron champion chestnut chipmunk cinnamon clarinet corduroy
    crescent cucumber cupboard daffodil daybreak daylight dinosaur doorbell downpour
    drumbeat duckling dulcimer eggshell elephant envelope explorer falconer festival
    firewood flagpole flamingo flywheel footpath forestry fountain foxglove frontier
    geranium goldfish greenery guardian handbook hawthorn hazelnut hedgehog
    heirloom hibiscus highland honeybee honeydew jamboree journeys junction
    kangaroo keyboard keystone kindling knapsack ladybird landmark larkspur lavender
    limerick lollipop longboat macaroon magician magnolia mahogany mandolin marathon marigold
    marzipan midnight minstrel monument moonbeam mountain mulberry mushroom musician
    necklace nightjar nocturne notebook omelette orchards organist ornament overcoat
    overture painting parakeet pendulum pinecone pinwheel platypus porridge postcard
    primrose quadrant question rainbows raindrop reindeer rosebush rosemary sailboat sapphire
    seahorse seashell shamrock shepherd skylight snowball snowshoe songbird spyglass squirrel
    starfish starling sunlight sunshine tapestry toboggan tortoise treasure trillium trombone
    twilight umbrella universe vanguard verandah vineyard virtuoso wardrobe waterway wayfarer
    windmill woodland woodwind workshop yearbook zeppelin zucchini
    """.split()  # noqa: SIM905 - as above
)
"""175 of eight letters."""
