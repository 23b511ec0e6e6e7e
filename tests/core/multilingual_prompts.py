"""Prompts in five languages with the phrases that a person would type, some of them slightly wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """A prompt and phrases.

    Args:
        phrases: what is found; a tuple has the phrase and how the prompt writes it, where that differs.
        refused: phrases that are refused, each with the phrase that the message suggests.
    """

    text: str
    phrases: tuple[str | tuple[str, str], ...]
    refused: dict[str, str] | None = None


PROMPTS: dict[str, list[Prompt]] = {
    "Chinese": [
        Prompt(
            "一个穿着牛仔夹克的男人把一顶红色帽子递给穿白色毛衣的女人，他们站在温馨的房间里。",
            ("男人", "牛仔夹克", "女人", "红色帽子"),
            {"红帽子": "红色帽子"},
        ),
        Prompt(
            "两个男人在街上握手，左边的男人穿黑色大衣，右边的男人戴着眼镜。",
            ("男人#2", "男人#3", "黑色大衣", "眼镜"),
            {"男人#4": "男人#1"},
        ),
        Prompt("穿T恤的女孩和穿连衣裙的女孩在公园里跳舞。", (("Ｔ恤", "T恤"), "女孩#1", "女孩#2", ("T 恤", "T恤"))),
        Prompt("一位老人戴着草帽，牵着一只小狗走过雪地。", ("老人", "草帽", "小狗"), {"草帽子": "草帽"}),
        Prompt(
            "“妈妈”抱着穿蓝色外套的孩子，坐在木椅上。", ("妈妈", "蓝色外套", "孩子", ("蓝色\u200b外套", "蓝色外套"))
        ),
        Prompt(
            "宇航员身穿橙色太空服，与穿着黑色西装的男士在月球上交谈。",
            ("宇航员", "橙色太空服", "男士"),
            {"黑色西服": "黑色西装"},
        ),
        Prompt("厨师系着白围裙，女服务员端着银色托盘。", ("厨师", "白围裙", ("女 服务员", "女服务员"))),
        Prompt("下雨的夜晚，穿风衣的侦探（戴礼帽）撑着一把黑伞。", ("侦探", "风衣", "礼帽"), {"黑雨伞": "黑伞"}),
    ],
    "Japanese": [
        Prompt(
            "デニムジャケットを着た男性が、赤い帽子をかぶった女性に花束を渡す。",
            ("男性", "女性", "赤い帽子"),
            {"デニムジャケツト": "デニムジャケット"},
        ),
        Prompt("二人の男が駅で出会い、男は黒いコートを脱ぐ。", ("男#1", "男#2", "黒いコート", "駅")),
        Prompt(
            "少年が白いＴシャツと青いジーンズで走る。",
            ("少年", ("Tシャツ", "Ｔシャツ"), "青いジーンズ", ("ｼｬﾂ", "シャツ")),
        ),
        Prompt("着物の女性は桜の木の下で笑い、もう一人の女性は傘を持っている。", ("女性#1", "女性#2", "着物", "傘")),
        Prompt(
            "「先生」は眼鏡をかけ、茶色のセーターを着ている。", ("先生", "眼鏡"), {"茶色セーター": "茶色のセーター"}
        ),
        Prompt("宇宙飛行士がオレンジ色の宇宙服で月面を歩く。", ("宇宙飛行士", "オレンジ色の宇宙服", "月面")),
        Prompt(
            "猫を抱いた少女と、麦わら帽子の老人が縁側に座る。",
            ("少女", "老人", "猫"),
            {"麦わらの帽子": "麦わら帽子"},
        ),
        Prompt(
            "コックの男とウエイトレスの女が、カフェのカウンターで話している。",
            ("コック", "カフェ"),
            {"ウェイトレス": "ウエイトレス"},
        ),
    ],
    "Thai": [
        Prompt(
            "ผู้ชายสวมแจ็กเก็ตยีนส์ยื่นหมวกสีแดงให้ผู้หญิง",
            ("ผู้ชาย", "หมวกสีแดง", "ผู้หญิง"),
            {"แจ็คเก็ตยีนส์": "แจ็กเก็ตยีนส์"},
        ),
        Prompt(
            "ผู้หญิงสองคนยืนคุยกัน ผู้หญิงคนหนึ่งใส่เสื้อเชิ้ตสีขาว",
            ("ผู้หญิง#1", "ผู้หญิง#2"),
            {"เสื้อเชิตสีขาว": "เสื้อเชิ้ตสีขาว"},
        ),
        Prompt("เด็กผู้ชายใส่เสื้อยืดสีน้ำเงินวิ่งเล่นกับสุนัข", ("เด็กผู้ชาย", "เสื้อยืดสีน้ำเงิน", "สุนัข")),
        Prompt("นักบินอวกาศในชุดสีส้มเดินบนดวงจันทร์", ("นักบินอวกาศ", "ชุดสีส้ม"), {"ดวงจันทน์": "ดวงจันทร์"}),
        Prompt("คุณยายสวมหมวกฟางนั่งบนเก้าอี้ไม้ในสวน", ("คุณยาย", "หมวกฟาง", "เก้าอี้ไม้")),
        Prompt("เชฟผูกผ้ากันเปื้อนสีขาว ส่วนพนักงานเสิร์ฟถือถาดเงิน", ("เชฟ", "ผ้ากันเปื้อนสีขาว", "พนักงานเสิร์ฟ")),
        Prompt("นักดนตรีใส่สูทดำและแว่นตา เล่นกีตาร์บนเวที", ("นักดนตรี", "สูทดำ", "แว่นตา"), {"กีต้าร์": "กีตาร์"}),
        Prompt(
            "หญิงสาวในชุดเดรสสีเขียวถือร่มยืนข้างชายหนุ่ม",
            ("หญิงสาว", ("ชุดเดรส สีเขียว", "ชุดเดรสสีเขียว"), "ชายหนุ่ม", "ร่ม"),
        ),
    ],
    "German": [
        Prompt(
            "Ein Mann in einer Jeansjacke reicht einer Frau einen roten Hut.",
            ("Mann", "Frau"),
            {"rote Hut": "roten Hut", "Jacke": "Jeansjacke"},
        ),
        Prompt(
            "Zwei Männer stehen am Fluss; der eine Mann trägt einen Mantel, der andere Mann eine Brille.",
            ("Mann#1", "Mann#2", "Brille", ("Ma\u0308nner", "Männer")),
        ),
        Prompt(
            "Die Köchin mit der weißen Schürze lacht über den Kellner.",
            ("Köchin", ("weißen Schu\u0308rze", "weißen Schürze"), "Kellner"),
            {"weisse Schürze": "weißen Schürze"},
        ),
        Prompt(
            "„Oma“ trägt ein grün-blaues Kleid und sitzt im Garten.",
            ("Oma", ("grün–blaues Kleid", "grün-blaues Kleid"), "Garten"),
            {"grün blaues Kleid": "grün-blaues Kleid"},
        ),
        Prompt(
            "Der Astronaut (im orangefarbenen Raumanzug) geht neben einem Jungen im T-Shirt.",
            ("Astronaut", "orangefarbenen Raumanzug", ("T‑Shirt", "T-Shirt")),
            {"TShirt": "T-Shirt"},
        ),
        Prompt(
            "Ein Mädchen im Regenmantel hält den Regenschirm ihrer Schwester.",
            ("Mädchen", "Schwester", ("Regen\u00admantel", "Regenmantel")),
            {"Regenmäntel": "Regenmantel"},
        ),
        Prompt(
            "Der Musiker im schwarzen Anzug spielt; die Sängerin trägt ein Abendkleid.",
            ("Sängerin", "Abendkleid"),
            {"schwarzer Anzug": "schwarzen Anzug", "musiker": "Musiker"},
        ),
        Prompt(
            "Drei Kinder: ein Kind mit Schal, ein Kind mit Mütze, ein Kind mit Handschuhen.",
            ("Kind#1", "Kind#3", "Schal", "Mütze"),
        ),
    ],
    "Spanish": [
        Prompt(
            "¿Ves al hombre con la chaqueta vaquera? Le da un sombrero rojo a la mujer.",
            ("hombre", "mujer", "sombrero rojo"),
            {"chaqueta baquera": "chaqueta vaquera"},
        ),
        Prompt(
            "¡Niños! Un niño lleva camiseta azul y otro niño lleva gorra.",
            ("niño#1", "niño#2", "Niños", "camiseta azul"),
        ),
        Prompt(
            "La señora del abrigo negro saluda al señor.",
            (("sen\u0303ora", "señora"), "abrigo negro", "señor"),
            {"senora": "señora"},
        ),
        Prompt(
            "El astronauta, con traje espacial naranja, camina por la luna.",
            ("astronauta", "luna"),
            {"traje espacial naranjo": "traje espacial naranja"},
        ),
        Prompt(
            "«Mamá» abraza al bebé con un jersey amarillo.",
            ("Mamá", ("bebe\u0301", "bebé"), "jersey amarillo"),
            {"mama": "Mamá"},
        ),
        Prompt(
            "El cocinero lleva un delantal blanco; la camarera, una bandeja.",
            ("cocinero", "camarera"),
            {"delantales blancos": "delantal blanco"},
        ),
        Prompt(
            "Dos mujeres bailan: una mujer con vestido rojo y una mujer con falda.",
            ("mujer#1", "mujer#2", "vestido rojo", "falda"),
            {"mujer#3": "mujer#1"},
        ),
        Prompt(
            "El músico—con gafas de sol—toca la guitarra.", ("músico", "guitarra"), {"gafas-de-sol": "gafas de sol"}
        ),
    ],
}
