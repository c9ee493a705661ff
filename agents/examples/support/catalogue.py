"""Who buys from the shop, and what it sells. All people are invented; their mail goes to reserved domains."""

from decimal import Decimal

# name, mailbox, country: the place in the list is the customer's number. The first sixteen wrote the tickets.
PEOPLE = (
    ("Marta Kowalska", "marta.kowalska", "DE"),
    ("Liam O'Connor", "liam.oconnor", "GB"),
    ("Viktor Brandt", "v.brandt", "AT"),
    ("Jürgen Weiß", "juergen.weiss", "DE"),
    ("山田 花子", "hanako.yamada", "JP"),
    ("Astrid Lindqvist", "astrid.lindqvist", "SE"),
    ("Carlos Mendoza Ruiz", "carlos.mendoza", "ES"),
    ("Brenda Kowalczyk-Hughes", "brenda.kh", "US"),
    ("Ahmed Benali", "ahmed.benali", "FR"),
    ("Ольга Петренко", "olha.petrenko", "UA"),
    ("Tyler Jackson", "tyler.jackson", "US"),
    ("Agnieszka Wójcik", "agnieszka.wojcik", "PL"),
    ("נועה לוי", "noa.levi", "IL"),
    ("Emma Johansson", "emma.johansson", "SE"),
    ("Marco D'Angelo", "marco.dangelo", "IT"),
    ("Chloé Dubois", "chloe.dubois", "FR"),
    ("Siobhán Ní Bhriain", "siobhan.nib", "IE"),
    ("Piotr Zieliński", "piotr.zielinski", "PL"),
    ("Katarzyna Lewandowska", "kasia.lewandowska", "PL"),
    ("Hannah Schäfer", "hannah.schaefer", "DE"),
    ("Thomas Müller", "thomas.mueller", "DE"),
    ("Lena Hoffmann", "lena.hoffmann", "DE"),
    ("Felix Krüger", "felix.krueger", "DE"),
    ("Sophie Wagner", "sophie.wagner", "AT"),
    ("Lukas Gruber", "lukas.gruber", "AT"),
    ("Reto Ammann", "reto.ammann", "CH"),
    ("Céline Favre", "celine.favre", "CH"),
    ("Julien Moreau", "julien.moreau", "FR"),
    ("Inès Lefèvre", "ines.lefevre", "FR"),
    ("Baptiste Girard", "baptiste.girard", "FR"),
    ("Giulia Ferrari", "giulia.ferrari", "IT"),
    ("Alessandro Conti", "alessandro.conti", "IT"),
    ("Francesca Dell'Orto", "francesca.dellorto", "IT"),
    ("Lucía Fernández", "lucia.fernandez", "ES"),
    ("Javier Ortega", "javier.ortega", "ES"),
    ("Nerea Etxeberria", "nerea.etxeberria", "ES"),
    ("João Pereira", "joao.pereira", "PT"),
    ("Beatriz Gonçalves", "beatriz.goncalves", "PT"),
    ("Sanne de Vries", "sanne.devries", "NL"),
    ("Daan van den Berg", "daan.vdberg", "NL"),
    ("Noor Bakker", "noor.bakker", "NL"),
    ("Wout Peeters", "wout.peeters", "BE"),
    ("Erik Nilsson", "erik.nilsson", "SE"),
    ("Maja Bergström", "maja.bergstrom", "SE"),
    ("Åsa Öberg", "asa.oberg", "SE"),
    ("Aino Virtanen", "aino.virtanen", "FI"),
    ("Mikko Korhonen", "mikko.korhonen", "FI"),
    ("Γιώργος Παπαδόπουλος", "g.papadopoulos", "GR"),
    ("Ελένη Νικολάου", "eleni.nikolaou", "GR"),
    ("Богдан Шевченко", "bohdan.shevchenko", "UA"),
    ("Дарина Мельник", "daryna.melnyk", "UA"),
    ("佐藤 健", "ken.sato", "JP"),
    ("鈴木 美咲", "misaki.suzuki", "JP"),
    ("高橋 翔太", "shota.takahashi", "JP"),
    ("יואב כהן", "yoav.cohen", "IL"),
    ("Oliver Hughes", "oliver.hughes", "GB"),
    ("Amelia Clarke", "amelia.clarke", "GB"),
    ("Harpreet Singh", "harpreet.singh", "GB"),
    ("Fatima Khan", "fatima.khan", "GB"),
    ("Rhys Llewellyn", "rhys.llewellyn", "GB"),
    ("Eilidh MacDonald", "eilidh.macdonald", "GB"),
    ("Aoife Murphy", "aoife.murphy", "IE"),
    ("Conor O'Sullivan", "conor.osullivan", "IE"),
    ("Maria Garcia", "maria.garcia", "US"),
    ("James Wilson", "james.wilson", "US"),
    ("Keisha Washington", "keisha.washington", "US"),
    ("Nguyễn Thị Lan", "lan.nguyen", "US"),
    ("Robert Chen", "robert.chen", "US"),
    ("Priya Raghunathan", "priya.raghunathan", "US"),
    ("Daniel Kim", "daniel.kim", "US"),
    ("Ashley Cooper", "ashley.cooper", "US"),
    ("Zoë Vandenberghe", "zoe.vandenberghe", "BE"),
    ("Jakub Nowak", "jakub.nowak", "PL"),
    ("Zofia Dąbrowska", "zofia.dabrowska", "PL"),
    ("Michał Szymański", "michal.szymanski", "PL"),
    ("Ursula Zürcher", "ursula.zuercher", "CH"),
    ("Paulo D'Ávila", "paulo.davila", "PT"),
    ("Ingrid Sørensen-Holm", "ingrid.holm", "SE"),
    ("Matthias Großmann", "matthias.grossmann", "DE"),
    ("Yasmin Özdemir", "yasmin.oezdemir", "DE"),
)

# language, currency, cities
COUNTRIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "AT": ("de", "EUR", ("Wien", "Graz", "Linz")),
    "BE": ("nl", "EUR", ("Gent", "Leuven")),
    "CH": ("de", "CHF", ("Zürich", "Lausanne")),
    "DE": ("de", "EUR", ("Berlin", "Hamburg", "Köln", "Leipzig")),
    "ES": ("es", "EUR", ("Madrid", "Bilbao", "Sevilla")),
    "FI": ("fi", "EUR", ("Helsinki", "Tampere")),
    "FR": ("fr", "EUR", ("Lyon", "Nantes", "Lille")),
    "GB": ("en", "GBP", ("Leeds", "Bristol", "Glasgow", "Cardiff")),
    "GR": ("el", "EUR", ("Athína", "Thessaloníki")),
    "IE": ("en", "EUR", ("Dublin", "Cork", "Galway")),
    "IL": ("he", "USD", ("Haifa", "Tel Aviv")),
    "IT": ("it", "EUR", ("Torino", "Bologna", "Bari")),
    "JP": ("ja", "JPY", ("Osaka", "Sendai", "Fukuoka")),
    "NL": ("nl", "EUR", ("Utrecht", "Groningen")),
    "PL": ("pl", "PLN", ("Kraków", "Gdańsk", "Poznań")),
    "PT": ("pt", "EUR", ("Porto", "Braga")),
    "SE": ("sv", "SEK", ("Göteborg", "Uppsala", "Malmö")),
    "UA": ("uk", "EUR", ("Kyiv", "Lviv")),
    "US": ("en", "USD", ("Portland", "Austin", "Columbus", "Tucson")),
}

# stock number, title, price in EUR
PRODUCTS = (
    ("MUG-ST4", "Stoneware mug", 18),
    ("BLK-WOL", "Wool blanket, grey", 119),
    ("LMP-DSK", "Desk lamp, brass", 74),
    ("CND-BEE", "Beeswax candle, 15 cm", 12),
    ("TBL-OAK", "Side table, oak", 149),
    ("CSH-LIN", "Linen cushion, sand", 34),
    ("POT-IRN", "Cast iron pot, 4 l", 96),
    ("KNF-CHF", "Chef's knife, 20 cm", 68),
    ("BRD-OLV", "Chopping board, olive wood", 42),
    ("TWL-COT", "Bath towel, cotton", 26),
    ("CLK-WAL", "Wall clock, walnut", 89),
    ("VAS-GLS", "Glass vase, smoke", 39),
    ("RUG-JUT", "Jute rug, 120 x 180", 135),
    ("TEA-SET", "Tea set for four", 60),
    ("TIN-TEA", "Tea tin, lacquered", 10),
    ("HMK-COT", "Cotton hammock", 79),
    ("BSK-RAT", "Rattan basket", 31),
    ("CHR-FLD", "Folding chair, beech", 64),
    ("MRR-RND", "Round mirror, 60 cm", 92),
    ("APR-DNM", "Denim apron", 37),
    ("GRD-CAN", "Watering can, zinc", 29),
    ("PLT-DIN", "Dinner plate, blue rim", 16),
    ("BED-LIN", "Bed linen, washed cotton", 98),
    ("SPK-KIT", "Kitchen radio", 58),
)

# What a euro costs, roughly; and the step in which the shop writes prices.
RATES = {"EUR": "1", "USD": "1.1", "GBP": "0.86", "SEK": "11", "PLN": "4.3", "CHF": "0.95", "JPY": "160"}
STEPS = {"EUR": "1", "USD": "1", "GBP": "1", "SEK": "10", "PLN": "1", "CHF": "1", "JPY": "100"}

CARRIERS = ("DHL", "DPD", "GLS", "UPS", "PostNord", "Yamato")
WAREHOUSE, HUB, AIRPORT = "Hamburg", "Leipzig", "Frankfurt Airport"
OVERSEAS = ("IL", "JP", "US")


def price(euros: int, currency: str) -> Decimal:
    """The shop's price in `currency` of what costs `euros`; SEK, PLN and USD end just below a round number."""
    step = Decimal(STEPS[currency])
    rounded = (euros * Decimal(RATES[currency]) / step).to_integral_value() * step
    return rounded - Decimal("0.10") if currency in ("USD", "PLN") else rounded
