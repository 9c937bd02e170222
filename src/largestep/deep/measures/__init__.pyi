from .movement import Movement as Movement
