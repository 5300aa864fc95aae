"""Write `tests/assets/carts`: the same breaths as metabolic carts export them, every name and number made up.

    python tests/make_cart_assets.py

Times are multiples of 3 s and volumes whole mL/min, which every layout can state exactly.
"""

import datetime
import math
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

ASSETS = Path(__file__).parent / "assets" / "carts"
STEPS = (3, 3, 3, 3, 6, 3, 3, 3, 3, 3)  # s
Cells = list[str]


def breaths() -> list[tuple[int, int, int, int]]:
    """Time (s), VO2 and VCO2 (mL/min), and heart rate (bpm) of two minutes."""
    noise, time, found = np.random.default_rng(7), 0, []
    while time < 118:
        time += STEPS[len(found) % len(STEPS)]
        oxygen = round(820 + 260 * (1 - math.exp(-time / 42)) + noise.normal(0, 70))
        found.append((time, oxygen, round(0.85 * oxygen + noise.normal(0, 15)), round(96 + time / 20)))
    return found


def point(number: float, digits: int) -> str:
    return f"{number:.{digits}f}"


def comma(number: float, digits: int) -> str:
    return f"{number:.{digits}f}".replace(".", ",")


def plain() -> list[Cells]:
    return [["time_s", "vo2_ml_min", "vco2_ml_min", "heart_rate_bpm"]] + [
        [str(n) for n in each] for each in breaths()
    ]


def cosmed(names: Cells, units: Cells, head: list[Cells]) -> list[Cells]:
    """Head in the columns A to H, breaths from J on; the times are h:mm:ss."""
    rows = [names, units, [""] * len(names)]
    for t, oxygen, carbon, heart in breaths():
        ratio = comma(carbon / oxygen, 2)
        rows.append(
            [
                f"00:{t // 60:02d}:{t % 60:02d}",
                "19,5",
                "1,100",
                comma(oxygen, 2),
                comma(carbon, 2),
                "14,10",
                ratio,
                str(heart),
            ]
        )
    return [(head[k] if k < len(head) else [""] * 8) + [""] + row for k, row in enumerate(rows)]


ENGLISH = [
    ["ID", "P00", "", "Test date", "05/03/2026", "", "Barometer (mmHg)", "748"],
    ["Last name", "Example", "", "Test time", "10:00:00 AM", "", "Weight (kg)", "72.0"],
    ["First name", "Anonymous", "", "Protocol", "Walk", "", "Height (cm)", "175"],
]
GERMAN = [
    ["ID", "P00", "", "Testdatum", "05.03.2026", "", "Luftdruck", "748"],
    ["Nachname", "Beispiel", "", "Uhrzeit", "10:00:00", "", "Gewicht (kg)", "72,0"],
]


def parvo() -> list[Cells]:
    head = [
        ["Example Laboratory"],
        [""],
        ["Metabolic Test Report"],
        [""],
        ["Date", "2026/03/05", "Start time", "10:00 AM"],
    ]
    head += [
        ["Name", "P00"],
        ["Age", "30", "Sex", "M", "Height", "69.0 in", "175.0 cm", "Weight", "158.7 lb", "72.0 kg"],
        [""],
    ]
    head += [["TIME", "VO2", "VO2/kg", "METS", "VCO2", "RER", "HR"], ["", "STPD", "STPD", "", "STPD", "", ""]]
    head += [["min", "L/min", "ml/kg/m", "", "L/min", "", "bpm"], ["---------"], ["Exercise"]]
    rows = [
        [
            point(t / 60, 2),
            point(v / 1000, 3),
            point(v / 72, 1),
            point(v / 252, 1),
            point(c / 1000, 3),
            point(c / v, 2),
            str(h),
        ]
        for t, v, c, h in breaths()
    ]
    return [
        *head,
        *rows,
        [""],
        ["Events List"],
        ["Time", "Event"],
        ["0.00", "Start Exercise"],
        ["2.00", "End Exercise"],
    ]


def jaeger(names: Cells, units: Cells, head: list[Cells]) -> list[Cells]:
    rows = [
        [f"{t // 60:02d}:{t % 60:02d},0", comma(v, 1), comma(c, 1), comma(c / v, 2), str(h)]
        for t, v, c, h in breaths()
    ]
    return [*head, names, units, *rows]


def cortex() -> list[Cells]:
    head = [["Patient", "P00"], ["Gewicht", "72 kg"], ["Testbeginn", "05.03.2026 10:00:00"], [""]]
    head += [["t", "Phase", "Marke", "V'O2/kg", "V'O2", "V'CO2", "RER", "HF"]]
    head += [["h:mm:ss,ms", "", "", "ml/min/kg", "L/min", "L/min", "", "/min"]]
    rows = [
        [
            f"0:{t // 60:02d}:{t % 60:02d},000",
            "Belastung",
            "",
            comma(v / 72, 1),
            comma(v / 1000, 3),
            comma(c / 1000, 3),
            comma(c / v, 2),
            str(h),
        ]
        for t, v, c, h in breaths()
    ]
    return [*head, *rows]


def spreadsheet_xml(rows: list[Cells]) -> str:
    """XML of Excel 2003, which leaves empty cells out."""
    lines = ['<?xml version="1.0"?>', '<?mso-application progid="Excel.Sheet"?>']
    lines += [
        '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">'
    ]
    lines += [
        '<Worksheet ss:Name="Info"><Table><Row><Cell><Data ss:Type="String">made up</Data></Cell></Row></Table></Worksheet>'
    ]
    lines += ['<Worksheet ss:Name="Data"><Table>']
    for row in rows:
        cells = [
            f'<Cell ss:Index="{k}"><Data ss:Type="String">{escape(text)}</Data></Cell>'
            for k, text in enumerate(row, 1)
            if text
        ]
        lines.append(f"<Row>{''.join(cells)}</Row>")
    return "\n".join([*lines, "</Table></Worksheet></Workbook>", ""])


def write(name: str, rows: list[Cells], separator: str, encoding: str = "utf-8") -> None:
    text = "".join(separator.join(row) + "\r\n" for row in rows)
    (ASSETS / name).write_bytes(text.encode(encoding))


def write_workbook(rows: list[Cells]) -> None:
    """The cells as a cart writes them: times of day, numbers, text."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Data"
    for row in rows:
        cells = []
        for place, text in enumerate(row):
            if place == 9 and text[:2] == "00":
                cells.append(datetime.time.fromisoformat(text))
            else:
                number = text.replace(",", ".")
                cells.append(float(number) if number.replace(".", "", 1).isdigit() else text or None)
        book.active.append(cells)
    book.create_sheet("Results").append(["nothing"])
    book.properties.created = book.properties.modified = datetime.datetime(2026, 3, 5)
    book.save(ASSETS / "cosmed.xlsx")


def main() -> None:
    ASSETS.mkdir(exist_ok=True)
    units = ["s", "1/min", "L(btps)", "mL/min", "mL/min", "mL/min/Kg", "---", "bpm"]
    write("plain.csv", plain(), ",")
    write_workbook(cosmed(["t", "Rf", "VT", "VO2", "VCO2", "VO2/Kg", "R", "HR"], units, ENGLISH))
    write(
        "cosmed.csv",
        cosmed(["t", "AF", "VT", "V'O2", "V'CO2", "V'O2/kg", "RQ", "HF"], units, GERMAN),
        ";",
        "latin-1",
    )
    write("parvo.csv", parvo(), ",")
    head = [["Oxycon", "Prüfstand"], ["Gewicht:", "72,0 kg"], ["Beginn", "um 10"], [""]]
    write(
        "oxycon.txt",
        jaeger(
            ["Zeit", "V'O2", "V'CO2", "RER", "HF"], ["[min:s]", "[ml/min]", "[ml/min]", "[]", "[1/min]"], head
        ),
        "\t",
        "latin-1",
    )
    write(
        "vyntus.csv",
        jaeger(["Time", "V'O2", "V'CO2", "RER", "HR"], ["mm:ss,ms", "mL/min", "mL/min", "", "1/min"], []),
        ";",
    )
    write("cortex.csv", cortex(), ";", "utf-16")
    (ASSETS / "cortex.xml").write_text(spreadsheet_xml(cortex()), encoding="utf-8")


if __name__ == "__main__":
    main()
