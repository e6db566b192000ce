"""Draws time against length from JSON lines of `bench`: python3 lengths.py RESULTS.jsonl... > picture.svg

One line a series, both axes logarithmic: PoNet's pooling and softmax attention of the same tokens, batch 1."""

import json
import math
import sys

SERIES = {
    ("ponet_pooling", "simd"): ("PoNet pooling, Quern", "#0b6e4f"),
    ("ponet_pooling", "libtorch:ponet_tuned"): ("PoNet pooling, libtorch, tuned", "#c17817"),
    ("ponet_pooling", "libtorch:ponet_literal"): ("PoNet pooling, libtorch, literal", "#a23b3b"),
    ("softmax_attention", "libtorch:softmax_attention"): ("softmax attention, libtorch", "#3b4ba2"),
}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 440, 70, 230, 20, 50

points = {key: {} for key in SERIES}
for path in sys.argv[1:]:
    for text in open(path):
        line = json.loads(text)
        key = (line.get("operator"), line.get("implementation"))
        if key in SERIES and line["parameters"]["batch"] == 1:
            points[key][line["parameters"]["length"]] = line["us"]["p50"] / 1000

lengths = sorted({length for one in points.values() for length in one})
times = [time for one in points.values() for time in one.values()]
low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))


def x(length):
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(length / lengths[0]) / math.log(lengths[-1] / lengths[0])


def y(time):
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(time) - low) / (high - low)


print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">')
print(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
for exponent in range(low, high + 1):
    at = y(10**exponent)
    print(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
    print(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10**exponent:g} ms</text>')
for length in lengths:
    name = f"{length // 1024}k" if length >= 1024 else length
    print(f'<text x="{x(length):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{name}</text>')
print(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">tokens</text>')
for (key, (name, colour)) in SERIES.items():
    line = sorted(points[key].items())
    if line:
        path = " ".join(f"{x(length):.1f},{y(time):.1f}" for length, time in line)
        print(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for length, time in line:
            print(f'<circle cx="{x(length):.1f}" cy="{y(time):.1f}" r="3" fill="{colour}"/>')
        length, time = line[-1]
        print(f'<text x="{x(length) + 8:.1f}" y="{y(time) + 4:.1f}" fill="{colour}">{name}</text>')
print("</svg>")
