"""The templates of word problems: a quantity that sentences change, one operation each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ASIDES", "HELD_OUT", "NAMES", "SEEN", "STORIES", "Story"]


@dataclass(frozen=True)
class Story:
    """Sentences about one quantity; `{who}` is a name, `{n}`, `{a}` and `{b}` are numbers.

    | field | meaning |
    |---|---|
    | name | of the template |
    | unit | what is counted, in the plural |
    | start | how many there are; `{tail}` takes a comparison |
    | add, take | `{n}` more or fewer |
    | times | `{n}` times as many |
    | share | one of `{n}` equal parts |
    | packs | `{a}` times `{b}` more |
    | question | how many there are at the end |
    """

    name: str
    unit: str
    start: str
    add: str
    take: str
    times: str
    share: str
    packs: str
    question: str


SEEN = (
    Story(
        name="apples",
        unit="apples",
        start="{who} has {n} apples{tail}.",
        add="{who} picks {n} more.",
        take="{who} eats {n} of them.",
        times="Then {who} gathers until there are {n} times as many.",
        share="{who} shares them equally among {n} baskets and keeps one basket.",
        packs="{who} buys {a} bags of {b} apples.",
        question="How many apples does {who} have now?",
    ),
    Story(
        name="coins",
        unit="coins",
        start="{who} has {n} coins{tail}.",
        add="{who} earns {n} coins.",
        take="{who} spends {n} coins.",
        times="A lucky game leaves {who} with {n} times as many coins.",
        share="{who} splits the coins equally with friends, {n} people in all.",
        packs="{who} works {a} hours for {b} coins an hour.",
        question="How many coins does {who} have now?",
    ),
    Story(
        name="books",
        unit="books",
        start="{who} has {n} books{tail}.",
        add="{who} is given {n} books.",
        take="{who} gives {n} books away.",
        times="Over the years the collection grows to {n} times its size.",
        share="{who} packs the books equally in {n} boxes and keeps one box.",
        packs="{who} orders {a} sets of {b} books.",
        question="How many books does {who} have now?",
    ),
    Story(
        name="eggs",
        unit="eggs",
        start="{who} has {n} eggs{tail}.",
        add="The hens lay {n} eggs for {who}.",
        take="{n} of the eggs break.",
        times="Next week {who} has {n} times as many eggs.",
        share="{who} sorts them into {n} equal trays and sells all trays but one.",
        packs="{who} buys {a} cartons of {b} eggs.",
        question="How many eggs does {who} have now?",
    ),
    Story(
        name="marbles",
        unit="marbles",
        start="{who} has {n} marbles{tail}.",
        add="{who} wins {n} marbles.",
        take="{who} loses {n} marbles.",
        times="{who} trades a toy and then has {n} times as many marbles.",
        share="{who} makes {n} equal heaps and keeps one heap.",
        packs="{who} finds {a} pouches of {b} marbles each.",
        question="How many marbles does {who} have now?",
    ),
    Story(
        name="stickers",
        unit="stickers",
        start="{who} has {n} stickers{tail}.",
        add="{who} gets {n} stickers from a friend.",
        take="{who} sticks {n} of them on a door.",
        times="{who} copies them until there are {n} times as many.",
        share="{who} divides them evenly over {n} albums and keeps one album.",
        packs="{who} opens {a} packets of {b} stickers.",
        question="How many stickers does {who} have now?",
    ),
    Story(
        name="shells",
        unit="shells",
        start="{who} has {n} shells{tail}.",
        add="{who} finds {n} shells on the beach.",
        take="The sea takes {n} shells back.",
        times="By evening {who} has {n} times as many shells.",
        share="{who} makes {n} equal necklaces of all shells and keeps one.",
        packs="{who} fills {a} buckets with {b} shells each.",
        question="How many shells does {who} have now?",
    ),
    Story(
        name="seeds",
        unit="seeds",
        start="{who} has {n} seeds{tail}.",
        add="{who} dries {n} new seeds.",
        take="Birds eat {n} of the seeds.",
        times="After the harvest {who} has {n} times as many seeds.",
        share="{who} puts them equally into {n} jars and plants all jars but one.",
        packs="{who} buys {a} sachets of {b} seeds.",
        question="How many seeds does {who} have left?",
    ),
    Story(
        name="cookies",
        unit="cookies",
        start="{who} has {n} cookies{tail}.",
        add="{who} bakes {n} cookies.",
        take="Guests eat {n} cookies.",
        times="{who} bakes on until there are {n} times as many cookies.",
        share="{who} serves them on {n} equal plates and keeps one plate.",
        packs="{who} bakes {a} trays of {b} cookies.",
        question="How many cookies does {who} have now?",
    ),
    Story(
        name="chairs",
        unit="chairs",
        start="{who} has {n} chairs{tail}.",
        add="{who} borrows {n} chairs.",
        take="{who} lends {n} chairs out.",
        times="For the feast {who} rents chairs until there are {n} times as many.",
        share="{who} spreads them equally over {n} rooms and keeps those of one room.",
        packs="{who} brings {a} rows of {b} chairs.",
        question="How many chairs does {who} have now?",
    ),
    Story(
        name="tickets",
        unit="tickets",
        start="{who} has {n} tickets{tail}.",
        add="{who} prints {n} tickets.",
        take="{who} sells {n} tickets.",
        times="{who} prints again until there are {n} times as many tickets.",
        share="{who} hands them to {n} sellers equally and is one of them.",
        packs="{who} gets {a} rolls of {b} tickets.",
        question="How many tickets does {who} have now?",
    ),
    Story(
        name="bottles",
        unit="bottles",
        start="{who} has {n} bottles{tail}.",
        add="{who} collects {n} bottles.",
        take="{who} returns {n} bottles.",
        times="A month later {who} has {n} times as many bottles.",
        share="{who} loads them equally on {n} carts and keeps one cart.",
        packs="{who} carries in {a} crates of {b} bottles.",
        question="How many bottles does {who} have now?",
    ),
)

HELD_OUT = (
    Story(
        name="tank",
        unit="litres",
        start="The tank of {who} holds {n} litres{tail}.",
        add="Rain adds {n} litres.",
        take="{n} litres leak out.",
        times="A flood raises the water to {n} times as much.",
        share="{who} drains it into {n} equal barrels, of which one is poured back.",
        packs="A pump runs for {a} minutes at {b} litres a minute into the tank.",
        question="How many litres are in the tank?",
    ),
    Story(
        name="bus",
        unit="passengers",
        start="{who} drives a bus with {n} passengers{tail}.",
        add="{n} people get on.",
        take="{n} people get off.",
        times="At the station the number of passengers becomes {n} times as large.",
        share="The passengers split equally over {n} buses, one of them that of {who}.",
        packs="{a} groups of {b} people get on.",
        question="How many passengers are on the bus of {who}?",
    ),
    Story(
        name="game",
        unit="points",
        start="{who} starts a game with {n} points{tail}.",
        add="A bonus is worth {n} points.",
        take="A penalty costs {n} points.",
        times="A joker makes the score {n} times as high.",
        share="A trap leaves only one of {n} equal parts of the score.",
        packs="{who} scores {a} goals of {b} points.",
        question="What is the score of {who}?",
    ),
    Story(
        name="hike",
        unit="metres",
        start="{who} stands {n} metres above the sea{tail}.",
        add="{who} climbs {n} metres.",
        take="{who} walks {n} metres down.",
        times="A cable car lifts {who} to {n} times that height.",
        share="{who} goes down to one of {n} equal parts of that height.",
        packs="{who} takes {a} ladders up, {b} metres each.",
        question="At what height does {who} stand, in metres?",
    ),
    Story(
        name="battery",
        unit="minutes",
        start="The phone of {who} will last {n} minutes{tail}.",
        add="A charger gives it {n} minutes more.",
        take="A call uses up {n} minutes.",
        times="Saving power makes it last {n} times as long.",
        share="Frost leaves only one of {n} equal parts of that time.",
        packs="Each of {a} solar cells gives it {b} minutes more.",
        question="How many minutes will the phone last?",
    ),
    Story(
        name="fish",
        unit="fish",
        start="In the pond of {who} swim {n} fish{tail}.",
        add="{who} sets out {n} fish.",
        take="A heron catches {n} fish.",
        times="In spring there are {n} times as many fish.",
        share="A net parts them into {n} equal shoals, and all shoals but one are sold.",
        packs="{a} streams bring {b} fish each.",
        question="How many fish swim in the pond?",
    ),
)

STORIES: Mapping[str, Story] = {story.name: story for story in (*SEEN, *HELD_OUT)}

NAMES = ("Ann", "Ben", "Cem", "Dora", "Eli", "Fatima", "Goran", "Hana", "Ivan", "June")

# Sentences with a number that has no bearing on the question.
ASIDES = (
    "It is {n} degrees outside.",
    "{who} is {n} years old.",
    "The house of {who} has the number {n}.",
    "{who} got up {n} minutes late.",
    "A neighbour of {who} has {n} hats.",
    "The radio plays song number {n}.",
)
