"""Names of people who do not exist, spread over countries."""

import unicodedata
from itertools import product
from typing import Final

# Weight, given names, family names.
COUNTRIES: Final = {
    "US": (30, "Olivia Emma Charlotte Amelia Sophia Ava Isabella Mia Evelyn Harper Liam Noah "
               "Oliver James Elijah William Henry Lucas Benjamin Theodore Jack Levi Ethan Grace",
           "Smith Johnson Williams Brown Jones Miller Davis Wilson Anderson Taylor Moore Jackson "
           "Thompson White Harris Clark Lewis Robinson Walker Young Allen King O'Brien Wright"),
    "IN": (16, "Aarav Vivaan Aditya Arjun Sai Ishaan Rohan Karthik Ananya Diya Priya Kavya Isha "
               "Meera Neha Pooja Sneha Riya Rahul Vikram",
           "Sharma Verma Gupta Patel Singh Kumar Reddy Nair Iyer Menon Mehta Joshi Desai Rao Bose "
           "Chatterjee Kapoor Malhotra Pillai Agarwal"),
    "DE": (10, "Anna Lena Marie Sophie Laura Julia Hannah Jürgen Lukas Felix Jonas Paul Maximilian "
               "Leon Katrin Björn Stefan Käthe",
           "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Koch Bauer "
           "Richter Klein Wolf Schröder Neumann Schäfer"),
    "GB": (10, "Emily Jessica Sophie Lucy Chloe Hannah Alice Thomas Harry George Oscar Charlie "
               "Alfie Freddie Isla Poppy",
           "Jones Taylor Davies Evans Thomas Roberts Hughes Edwards Green Hall Wood Clarke Turner "
           "Hill Cooper Ward Morris Bell"),
    "BR": (7, "Maria Ana Júlia Beatriz Larissa Camila João Pedro Lucas Gabriel Rafael Thiago "
              "Luís Antônio",
           "Silva Santos Oliveira Souza Lima Pereira Ferreira Costa Almeida Gonçalves Araújo "
           "Ribeiro Carvalho Gomes"),
    "ES": (6, "Lucía Sofía Martina Paula Carmen Elena Hugo Mateo Martín Álvaro Javier Sergio",
           "García Rodríguez González Fernández López Martínez Sánchez Pérez Gómez Muñoz Ruiz "
           "Jiménez"),
    "FR": (6, "Camille Manon Léa Chloé Inès Élodie Louis Gabriel Raphaël Arthur Théo Benoît",
           "Martin Bernard Dubois Durand Leroy Moreau Simon Laurent Lefèvre Michel Garnier Faure"),
    "NG": (4, "Chidi Emeka Ngozi Adaeze Tunde Yetunde Ifeoma Obinna Amaka Segun",
           "Okafor Adeyemi Balogun Eze Okonkwo Ibrahim Nwosu Adebayo Musa Obi"),
    "PL": (4, "Zofia Hanna Maja Agnieszka Katarzyna Jakub Szymon Paweł Michał Łukasz",
           "Nowak Kowalski Wiśniewski Wójcik Kamiński Lewandowski Zieliński Dąbrowski Mazur "
           "Krawczyk"),
    "JP": (4, "Haruto Yuto Sota Ren Hinata Yui Aoi Sakura Rin Mio",
           "Sato Suzuki Takahashi Tanaka Watanabe Ito Yamamoto Nakamura Kobayashi Kato"),
    "SE": (3, "Elsa Astrid Maja Ebba William Hugo Åke Göran Björn Linnéa",
           "Andersson Johansson Karlsson Nilsson Eriksson Öberg Lindström Åkesson Berg Sjöberg"),
}  # fmt: skip
# No mailbox can be in them. https://www.rfc-editor.org/rfc/rfc2606
DOMAINS: Final = {
    "mailhaus.example": 30,
    "postbox.example": 22,
    "inbox.example": 14,
    "example.com": 12,
    "letterly.example": 8,
    "studio-north.example": 5,
    "acme-labs.example": 5,
    "brightwave.example": 4,
}
# ASCII spellings of letters that Unicode does not decompose.
PLAIN: Final = str.maketrans({"ł": "l", "ß": "ss", "ø": "o", "đ": "d", "æ": "ae", "'": ""})


def all_people() -> tuple[list[tuple[str, str]], list[float]]:
    """Return each name with its mailbox name and its weight."""
    people: list[tuple[str, str]] = []
    weights: list[float] = []
    for weight, given, family in COUNTRIES.values():
        names = list(product(given.split(), family.split()))
        for place, (first, last) in enumerate(names):
            local = mailbox(first, last, place % 4)
            people.append((f"{first} {last}", local))
            weights.append(weight / len(names))
    return people, weights


def mailbox(first: str, last: str, style: int) -> str:
    """Return a name as a mailbox name, in one of four styles."""
    first, last = plain(first), plain(last)
    return (f"{first}.{last}", f"{first}{last}", f"{first[0]}.{last}", f"{first}_{last}")[style]


def plain(name: str) -> str:
    """Spell a name in small ASCII letters."""
    parts = unicodedata.normalize("NFKD", name.lower().translate(PLAIN))
    return parts.encode("ascii", "ignore").decode()
