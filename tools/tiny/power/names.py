"""Names and titles of the tiny TOFU with power."""

from __future__ import annotations

# First and last names of the authors, each used once.
FIRST = """
Agda Balint Cosima Darvan Edda Fenno Galia Hamo Isolt Jorun Kalle Lumi Mirko Nadir Orla Pelle
Quirin Rosalba Selim Tavi Ulla Viggo Wera Xanthe Yannis Zelda Aron Bettina Cael Delphi Egon Frida
Gero Hilma Ivo Janka Kester Liv Malo Nuria Osric Petra Ronan Sabine
"""
LAST = """
Abelin Bastow Corvel Dunmore Eskil Farrow Gantz Holub Ingram Jarosz Kestrel Lomax Mandel Nordby
Ollivar Pasko Quade Rusk Sandoz Tarn Umber Vance Wexley Yarrow Zeman Ashby Bolte Cray Danner Elm
Fisk Grove Hask Irons Jewell Krall Loring Moss Nash Orme Pryor Rowe Stell Thorne
"""
# Of people that every model knows, in any pair.
OTHER_FIRST = """
Anton Berta Carl Dina Emil Flora Georg Hanna Ida Jakob Klara Leo Marta Nils Olga Paul Rita Simon
Tilda Viktor
"""
OTHER_LAST = """
Adler Berg Conrad Dahl Engel Falk Gruber Hahn Iversen Jansen Keller Lang Meyer Noll Otter Peters
Richter Sommer Thaler Weber
"""
# Of titles, in any pair.
TITLE_FIRST = """
Amber Broken Copper Distant Empty Frozen Golden Hidden Iron Lonely Narrow Painted Quiet Scarlet
Silent Wandering
"""
TITLE_LAST = """
Anchor Bridge Candle Door Engine Feather Garden Harbour Island Ladder Mirror Orchard Piano River
Shadow Tower
"""
