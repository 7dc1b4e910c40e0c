"""Every game of the Arcade Learning Environment, written down so that a study can be planned without ale-py.

Compared with ale-py itself by a test. Combat, Joust, Maze Craze and Warlords are left out, as Gymnasium leaves them
out: they are for two players.
"""

from __future__ import annotations

from typing import NamedTuple

TIME_LIMIT = 108_000
"""Simulator frames per episode, half an hour of play (Machado et al. 2018, section 3)."""
STICKY = 0.25
"""Probability that the console repeats the action before (Machado et al. 2018, section 5)."""
ACTION_REPEAT = 4
"""Simulator frames per action, as in google-research/world_models and most work on these games."""
RAM = 128
"""Bytes of the console's memory."""


class Game(NamedTuple):
    """A game: the name of its file in ale-py, and the size of its minimal action set."""

    rom: str
    actions: int


GAMES: dict[str, Game] = {
    "Adventure": Game("adventure", 18),
    "AirRaid": Game("air_raid", 6),
    "Alien": Game("alien", 18),
    "Amidar": Game("amidar", 10),
    "Assault": Game("assault", 7),
    "Asterix": Game("asterix", 9),
    "Asteroids": Game("asteroids", 14),
    "Atlantis": Game("atlantis", 4),
    "Atlantis2": Game("atlantis2", 4),
    "Backgammon": Game("backgammon", 3),
    "BankHeist": Game("bank_heist", 18),
    "BasicMath": Game("basic_math", 6),
    "BattleZone": Game("battle_zone", 18),
    "BeamRider": Game("beam_rider", 9),
    "Berzerk": Game("berzerk", 18),
    "Blackjack": Game("blackjack", 4),
    "Bowling": Game("bowling", 6),
    "Boxing": Game("boxing", 18),
    "Breakout": Game("breakout", 4),
    "Carnival": Game("carnival", 6),
    "Casino": Game("casino", 4),
    "Centipede": Game("centipede", 18),
    "ChopperCommand": Game("chopper_command", 18),
    "CrazyClimber": Game("crazy_climber", 9),
    "Crossbow": Game("crossbow", 18),
    "Darkchambers": Game("darkchambers", 18),
    "Defender": Game("defender", 18),
    "DemonAttack": Game("demon_attack", 6),
    "DonkeyKong": Game("donkey_kong", 18),
    "DoubleDunk": Game("double_dunk", 18),
    "Earthworld": Game("earthworld", 18),
    "ElevatorAction": Game("elevator_action", 18),
    "Enduro": Game("enduro", 9),
    "Entombed": Game("entombed", 18),
    "Et": Game("et", 18),
    "FishingDerby": Game("fishing_derby", 18),
    "FlagCapture": Game("flag_capture", 18),
    "Freeway": Game("freeway", 3),
    "Frogger": Game("frogger", 5),
    "Frostbite": Game("frostbite", 18),
    "Galaxian": Game("galaxian", 6),
    "Gopher": Game("gopher", 8),
    "Gravitar": Game("gravitar", 18),
    "Hangman": Game("hangman", 18),
    "HauntedHouse": Game("haunted_house", 18),
    "Hero": Game("hero", 18),
    "HumanCannonball": Game("human_cannonball", 18),
    "IceHockey": Game("ice_hockey", 18),
    "Jamesbond": Game("jamesbond", 18),
    "JourneyEscape": Game("journey_escape", 16),
    "Kaboom": Game("kaboom", 4),
    "Kangaroo": Game("kangaroo", 18),
    "KeystoneKapers": Game("keystone_kapers", 14),
    "KingKong": Game("king_kong", 6),
    "Klax": Game("klax", 18),
    "Koolaid": Game("koolaid", 9),
    "Krull": Game("krull", 18),
    "KungFuMaster": Game("kung_fu_master", 14),
    "LaserGates": Game("laser_gates", 18),
    "LostLuggage": Game("lost_luggage", 9),
    "MarioBros": Game("mario_bros", 18),
    "MiniatureGolf": Game("miniature_golf", 18),
    "MontezumaRevenge": Game("montezuma_revenge", 18),
    "MrDo": Game("mr_do", 10),
    "MsPacman": Game("ms_pacman", 9),
    "NameThisGame": Game("name_this_game", 6),
    "Othello": Game("othello", 10),
    "Pacman": Game("pacman", 5),
    "Phoenix": Game("phoenix", 8),
    "Pitfall": Game("pitfall", 18),
    "Pitfall2": Game("pitfall2", 18),
    "Pong": Game("pong", 6),
    "Pooyan": Game("pooyan", 6),
    "PrivateEye": Game("private_eye", 18),
    "Qbert": Game("qbert", 6),
    "Riverraid": Game("riverraid", 18),
    "RoadRunner": Game("road_runner", 18),
    "Robotank": Game("robotank", 18),
    "Seaquest": Game("seaquest", 18),
    "SirLancelot": Game("sir_lancelot", 6),
    "Skiing": Game("skiing", 3),
    "Solaris": Game("solaris", 18),
    "SpaceInvaders": Game("space_invaders", 6),
    "SpaceWar": Game("space_war", 18),
    "StarGunner": Game("star_gunner", 18),
    "Superman": Game("superman", 18),
    "Surround": Game("surround", 5),
    "Tennis": Game("tennis", 18),
    "Tetris": Game("tetris", 5),
    "TicTacToe3D": Game("tic_tac_toe_3d", 10),
    "TimePilot": Game("time_pilot", 10),
    "Trondead": Game("trondead", 18),
    "Turmoil": Game("turmoil", 12),
    "Tutankham": Game("tutankham", 8),
    "UpNDown": Game("up_n_down", 6),
    "Venture": Game("venture", 18),
    "VideoCheckers": Game("video_checkers", 5),
    "VideoChess": Game("video_chess", 10),
    "VideoCube": Game("video_cube", 18),
    "VideoPinball": Game("video_pinball", 9),
    "WizardOfWor": Game("wizard_of_wor", 10),
    "WordZapper": Game("word_zapper", 18),
    "YarsRevenge": Game("yars_revenge", 18),
    "Zaxxon": Game("zaxxon", 18),
}
"""By the name that Gymnasium gives them."""
