"""English words, affixes and signs that rules about tokens name, in lower case but for codes."""

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty "
    "ninety hundred thousand million billion trillion first second third fourth fifth sixth "
    "seventh eighth ninth tenth"
)

PRONOUNS = {
    "male": "he him his himself",
    "female": "she her hers herself",
    "neutral": "it its itself they them their theirs themselves",
    "first_person": "i me my mine myself we us our ours ourselves",
    "second_person": "you your yours yourself yourselves",
    "third_person": "he him his himself she her hers herself it its itself they them their theirs "
    "themselves",
    "plural": "we us our ours ourselves yourselves they them their theirs themselves",
    "singular": "i me my mine myself yourself he him his himself she her hers herself it its "
    "itself",
    "subject": "i you he she it we they",
    "object": "me you him her it us them",
    "possessive": "my mine your yours his her hers its our ours their theirs",
    "reflexive": "myself yourself himself herself itself ourselves yourselves themselves",
    "personal": "i me you he him she her it we us they them",
    "indefinite": "all another any anybody anyone anything both each either everybody everyone "
    "everything few many most neither nobody none nothing one other others several some somebody "
    "someone something such",
    "demonstrative": "this that these those",
    "interrogative": "who whom whose which what",
    "relative": "who whom whose which that",
    "intensive": "myself yourself himself herself itself ourselves yourselves themselves",
    "nonreflexive": "i me my mine you your yours he him his she her hers it its we us our ours "
    "they them their theirs",
}

SIGNS = {
    "period": ".",
    "comma": ",",
    "exclamation": "!",
    "question": "?",
    "semicolon": ";",
    "colon": ":",
    "dash": "-",
    "slash": "/",
    "backslash": "\\",
    "underscore": "_",
    "carrot": "^",
    "apostrophe": "'",
    "quotation": '"',
    "close_paren": ")",
    "open_paren": "(",
    "close_bracket": "]",
    "open_bracket": "[",
    "close_brace": "}",
    "open_brace": "{",
    "dollar": "$",
    "double_dollar": "$$",
}

PREFIXES = (
    "un re in im dis en em non over mis sub pre inter fore de trans super semi anti mid under "
    "mono bi tri multi poly ex micro macro auto tele homo hetero post geo aero hydro thermo "
    "electro photo pan mega kilo pseudo neo counter ultra infra circum peri hemi ped pod bio a b "
    "c d e f g h i j k l m n o p q r s t u v w x y z"
)

SUFFIXES = (
    "ness ment tion sion ance ence er or ist ism hood ship age able ible al ial ish ive less ful "
    "ous ic ly ward wise ize ise en ify let ling ie ette dom logy graphy phobia y cy ty ant ent "
    "ary ery ing ed s est"
)

MONTHS = (
    "january february march april may june july august september october november december jan "
    "feb mar apr jun jul aug sep sept oct nov dec"
)
DAYS = "monday tuesday wednesday thursday friday saturday sunday"
STATES = (
    "alabama alaska arizona arkansas california colorado connecticut delaware florida georgia "
    "hawaii idaho illinois indiana iowa kansas kentucky louisiana maine maryland massachusetts "
    "michigan minnesota mississippi missouri montana nebraska nevada ohio oklahoma oregon "
    "pennsylvania tennessee texas utah vermont virginia washington wisconsin wyoming"
)
STATE_CODES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM "
    "NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
)
DOMAINS = "com net org edu gov mil int io co uk ca ai"
LENGTHS = "meter metre inch foot feet yard mile"
TIMES = "second minute hour day week month year"
CONTRASTS = "but however nonetheless yet nevertheless although"
