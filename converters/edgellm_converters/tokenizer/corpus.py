"""Texts that the proof compares: languages and scripts, code, numbers, whitespace, emoji, odd characters. Data only.

Every piece is short: a difference is then easy to see, and llama.cpp's generic regex path recurses once per character.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CORPUS", "Text"]


@dataclass(frozen=True)
class Text:
    """One text of the corpus; ``kind`` is named in messages."""

    kind: str
    text: str


_LANGUAGES = {
    "English": "The quick brown fox doesn't care; it's 7 o'clock, they'll've gone, WE'RE late! I'D say. He'S TOLD'em.",
    "German": "Größe, Übermut und ein Fußgängerübergang: „Schön“, sagte sie – ca. 3,5 km (oder mehr?).",
    "French": "L'été dernier, où étiez-vous ? C'est ça : « naïve » œuvre d'art à 12,50 €.",
    "Spanish": "¿Dónde está el niño? ¡Mañana será otro día! El 15% de los pingüinos…",
    "Portuguese": "Não há ninguém aqui; as avós já foram à praça às 18h30.",
    "Italian": "Perché no? È così: un po' d'acqua, l'università e 1.000 lire.",
    "Polish": "Zażółć gęślą jaźń, a Łódź leży nad rzeką Łódką.",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Turkish": "İstanbul'da ışıl ışıl bir gün: çiğ köfte, ağaç ve öğle. IĞDIR ılık.",
    "Hungarian": "Árvíztűrő tükörfúrógép; őszi eső hullt.",
    "Romanian": "Țara asta și-a găsit șansa în pădure.",
    "Swedish": "Åsa åkte till Örebro för att äta räksmörgås.",
    "Finnish": "Hyvää yötä, äiti! Työyöaie epäjärjestelmällisyydelläänkään.",
    "Icelandic": "Þetta er íslenska: ég á að læra ð og þ.",
    "Vietnamese": "Tiếng Việt có nhiều dấu: được, những, nghiêng, quyển sách.",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΑΘΗΝΑ, ά έ ή ί ό ύ ώ;",
    "Russian": "Съешь же ещё этих мягких французских булок, да выпей чаю. ЁЛКА №5!",
    "Ukrainian": "Їжак, ґанок, європейський; п'ять об'єктів.",
    "Bulgarian": "нещо на Български, щъркел и юли.",
    "Serbian": "Љубав, њива, џеп; ђак и ћерка.",
    "Armenian": "Բարեւ աշխարհ։ Հայերեն լեզու։",
    "Georgian": "გამარჯობა მსოფლიო, ქართული ენა.",
    "Hebrew": "שלום עולם, מה שלומך היום? זה נחמד.",
    "Hebrew with points": "בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "Arabic": "مرحبا بالعالم، كيف حالك اليوم؟ ١٢٣٤ كتابًا.",
    "Arabic with points": "بِسْمِ اللَّهِ الرَّحْمَٰنِ",
    "Persian": "سلام دنیا؛ می‌خواهم بروم. ۱۲۳ کتاب‌ها",
    "Urdu": "ہیلو دنیا، آپ کیسے ہیں؟ یہ اردو ہے۔",
    "Hindi": "नमस्ते दुनिया, आप कैसे हैं? मैं हिन्दी पढ़ता हूँ। १२३",
    "Bengali": "ওহে বিশ্ব, তুমি কেমন আছো? বাংলা ভাষা। ১২৩",
    "Tamil": "வணக்கம் உலகம், எப்படி இருக்கிறீர்கள்?",
    "Telugu": "హలో ప్రపంచం, మీరు ఎలా ఉన్నారు?",
    "Kannada": "ನಮಸ್ಕಾರ ಪ್ರಪಂಚ, ಹೇಗಿದ್ದೀರಿ?",
    "Malayalam": "നമസ്കാരം ലോകം, സുഖമാണോ?",
    "Gujarati": "નમસ્તે દુનિયા, કેમ છો?",
    "Punjabi": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ ਦੁਨੀਆ",
    "Sinhala": "ආයුබෝවන් ලෝකය",
    "Thai": "สวัสดีชาวโลก วันนี้อากาศดี ๑๒๓ ผมกำลังอ่านหนังสือ",
    "Lao": "ສະບາຍດີຊາວໂລກ",
    "Khmer": "កាន់តែពិសេសអាច ជំរាបសួរពិភពលោក",
    "Burmese": "မင်္ဂလာပါ ကမ္ဘာလောက",
    "Tibetan": "བཀྲ་ཤིས་བདེ་ལེགས།",
    "Amharic": "ሰላም ልዑል፣ እንዴት ነህ?",
    "Cherokee": "ᎣᏏᏲ ᎡᎶᎯ",
    "Mongolian": "Сайн байна уу, дэлхий ᠮᠣᠩᠭᠣᠯ",
    "Chinese": "我想在apple工作1314151天～今天天气很好，我们去公园吧！「你好」、《世界》。",
    "Traditional Chinese": "臺灣的繁體字：憂鬱的烏龜，龍龜竹。",
    "Japanese": "こんにちは世界。カタカナとひらがな、漢字を混ぜて書く。ｶﾀｶﾅ 東京タワーは333mです。",
    "Korean": "안녕하세요 세계! 한국어 문장입니다. ㅋㅋㅋ 123원",
    "Swahili": "Habari ya dunia; ng'ombe wangu wanakula nyasi.",
    "Yoruba": "Ẹ kú àárọ̀ o, ṣé dáadáa ni?",
    "Hawaiian": "Aloha kākou, ʻōlelo Hawaiʻi.",
    "Esperanto": "Eĥoŝanĝo ĉiuĵaŭde.",
    "mixed scripts": "Привет hello 你好 مرحبا नमस्ते γειά 123abc456 日本go語 x²+y₃≥½π",
}

_CODE = {
    "Python": 'def f(x: int = 0x1F) -> str:\n\t"""Doc."""\n    return f"{x!r:>10}" if x != None else \'\'\n\n\n# end\n',
    "C": '#include <stdio.h>\nint main(void) {\n\tfor (int i=0; i<10; ++i) printf("%d\\n", a[i]->b);\n\treturn 0;\n}\n',
    "Rust": "fn main() -> Result<(), Box<dyn Error>> { let v: Vec<&'static str> = vec![]; Ok(()) }",
    "JavaScript": "const g = async ({a, ...b}) => { await Promise.all(b?.c ?? []); return `${a}_${1e-9}`; };",
    "HTML": '<!DOCTYPE html>\n<a href="https://example.com/?q=1&amp;x=%20">Link</a><br/>\n<!-- note -->',
    "JSON": '{"name": "tool", "arguments": {"n": [1, 2.5, -3e8, null, true]}, "s": "\\u00e9\\n"}',
    "SQL": "SELECT COUNT(*) FROM t1 WHERE a >= 10 AND b <> 'it''s';--comment",
    "shell": "for f in *.txt; do cat \"$f\" | grep -E '^[a-z]+$' >> out.log 2>&1; done && rm -rf ./x",
    "LaTeX": "$\\frac{\\partial f}{\\partial x} = \\sum_{i=1}^{n} x_i^2 \\leq \\alpha\\beta$",
    "Markdown": "# Title\n\n* item **bold** _it_\n  1. sub\n\n```py\nx=1\n```\n| a | b |\n|---|---|\n",
    "diff": "@@ -1,3 +1,4 @@\n-old line\n+new line\n unchanged\n",
    "CRLF": "first line\r\nsecond line\r\n\r\nthird\rfourth",
    "camel case": "HTTPServerError getElementById snake_case_name CONSTANT_VALUE kebab-case iOS9beta2 XMLHttpRequest",
    "address": "mailto:someone+tag@example.co.uk, C:\\Users\\me\\file.txt, ../rel/path, ftp://h:21/~u",
}

_NUMBERS = (
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3",
    "1234567890 0 00 007 1,000,000.00 -12 +34 1e10 6.022e23 0xDEADBEEF 0b1010 1_000",
    "2024-02-29T23:59:59Z 10:30 $5.99 €20 100% 1/2 #42 v1.2.3-rc4 192.168.0.1",
    "abc123def456 x1y2z3 12th 3rd 5kg 4x4 ①②③ ⅓ ⅷ Ⅻ ² ³ ₁ ₂",
    "٠١٢٣٤٥٦٧٨٩ ०१२३४५६७८९ 〇一二三 ๐๑๒ 12৩৪",
)

_WHITESPACE = (
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\n\n\n",
    "\t",
    "\t\t",
    " \n",
    "\n ",
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n",
    "a b  c   d    e     f      g       h",
    "    four spaces\n        eight spaces\n                sixteen\n                                thirty-two",
    "\ttab\t\ttwo\t tab space \ttrailing \t",
    " leading and trailing ",
    "  two leading",
    "trailing two  ",
    "line\n\n  \n indented\n",
    "word" + " " * 50 + "word",
    "x" + "\n" * 12 + "y",
    "thin\u2009space no\u00a0break ideographic\u3000space em\u2003space",
)

_SYMBOLS = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "...... !!!!!! ?????? ------======= ''''''```````\"\"\"\"......!!!!!!??????",
    "“quotes” ‘single’ «guillemets» – — … • † ‡ § ¶ © ® ™ ° ± × ÷",
    "← ↑ → ↓ ⇒ ∀ ∃ ∈ ∑ ∏ √ ∞ ≈ ≠ ≤ ≥ ∫ ⊂ ■ ▲ ● ★ ☆ ♠ ♥ ♪",
    "¿¡ £ ¥ ₹ ₽ ₿ ¢ ¤ ¬ ¦ ¨ ´ ¸ ˜ ˆ",
    "、。「」『』【】〜・！？：；（）［］｛｝＋－＝％＆＠＃",
    "a'b 'c' d's 'tis rock'n'roll I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, 'D you",
    "We'Ve a'lL it’s don’t ’twas y'all'd've",
)

_EMOJI = (
    "😀😁😂 🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙",
    "👨\u200d👩\u200d👧\u200d👦 👩🏽\u200d💻 🏳️\u200d🌈 🇩🇪🇫🇷🇯🇵 1️⃣ #️⃣ ❤️ ☎️ 🧑🏿\u200d🚀",
    "text😀text 😀text text😀 👍🏻👍🏿 ¯\\_(ツ)_/¯ (╯°□°）╯︵ ┻━┻",
)

_ODD = (
    "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \uac00\ub098\ub2e4 \u1e69",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m \u1100\u1161\u1102\u1161 s\u0323\u0307",
    "\ufb01nd \ufb02ow \uff21\uff22\uff23 \u2460 \u33a5 \u00bd \u2126 \u212b",
    "zero\u200bwidth soft\u00adhyphen word\u2060joiner \ufeffmark rtl\u200f mark \u202abidi\u202c",
    "bell\x07 backspace\x08 escape\x1b[31m delete\x7f unit\x1f null\x00end",
    "mathematical: 𝐀𝐛𝐜 𝕏 𝓕 𝟏𝟐𝟑 gothic: 𐌰𐌱 cuneiform: 𒀀𒀁 hieroglyph: 𓀀 old: 𐎠",
    "rare han: 𠮷野家 㐀㐁 䶵 龘 private: \ue000 last: \U0010fffd replacement: \ufffd",
    "Z̷a̴l̵g̶o̷ e\u0301\u0302\u0303 ñ̃ \u0915\u094d\u0937",
    "ǅ ǈ ǋ titlecase ʰ ˠ modifier ª º ordinal ß ẞ ŉ ĳ ǆ",
)

CORPUS: tuple[Text, ...] = (
    *(Text(name, text) for name, text in _LANGUAGES.items()),
    *(Text(f"{name} code", text) for name, text in _CODE.items()),
    *(Text("numbers", text) for text in _NUMBERS),
    *(Text("whitespace", text) for text in _WHITESPACE),
    *(Text("symbols", text) for text in _SYMBOLS),
    *(Text("emoji", text) for text in _EMOJI),
    *(Text("unusual characters", text) for text in _ODD),
)
