"""Every bound on what visitors may ask, in one table. Three more guard a digit itself: `digits.ink.MAX_POINTS`,
`digits.ink.MAX_STROKES` and `digits.picture.MAX_PIXELS`.

"Address" means the network address that requests come from, which may be a whole school's.
"""

# A request
BODY_BYTES = 2**20  # any but an upload; the largest drawing has 250 kB
BODY_SECONDS = 30  # until the body is there
UPLOAD_BYTES = 10 * 2**20  # a phone's photo has 2 to 6 MB
UPLOAD_SECONDS = 300  # 10 MB at 35 kB/s
QUERY_BYTES = 2048  # Gradio remembers some query strings for ever
SESSION_CHARACTERS = 64  # Gradio remembers the names of 2,000 sessions; the page's have 11 characters
ABLATIONS = 200  # resnet152 has 50 blocks of two parts each

# One address
WAITING = 300  # requests that wait or are worked on; each holds its body in memory
AT_ONCE = 4  # requests worked on; drawings are read one after another anyway
UPLOADS_AT_ONCE = 10  # uploads; a slow one keeps its place until it is there
COSTLY_POINTS = 500  # a drawing of more is costly, and one is worked on at a time; a digit has 50 to 300 points
CURVE_POINTS = 100  # what the shortest stroke counts as, for `digits.ink` draws a curve through few points
PAGE_POINTS = 600  # what a visit counts as, in points, for Gradio copies all it knows of the page
SECONDS_A_POINT = 5e-5  # pause after a costly request: up to 4 times as long as it took
QUEUED = 50  # of Gradio's events that wait

# All addresses together
QUEUE = 1000  # Gradio's events that wait
SESSIONS = 200  # visitors whose page Gradio remembers
OPEN_FILES = 65_536  # of them, connections: one idle costs 10 kB or so

# A picture
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # Pillow's names of formats that state their size first
PICTURE_PIXELS = 25_000_000  # a phone's photo has 12 to 24 million; decoding a WebP of so many takes 400 MB
PICTURE_SIDE = 1024  # pixels; larger ones are reduced as they are decoded
SCANNED_PIXELS = 1_250_000_000  # of all scans of a JPEG together, 50 of the largest: 0.8 s of decoding

# The folder of uploads
FOLDER_SECONDS = 300  # how long an upload is kept
FOLDER_BYTES = 500 * 2**20  # the oldest uploads beyond this are deleted sooner
FOLDER_FILES = 1000  # and beyond this
FOLDER_INTERVAL = 1  # seconds between two looks at it; 100 MB or so can arrive in this time
