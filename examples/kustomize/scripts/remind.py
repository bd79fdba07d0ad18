from datetime import date


def main(customer: str, due: date, polite: bool = True) -> str:
    greeting = "Dear" if polite else "Hello"
    return f"{greeting} {customer}, your invoice was due on {due:%d %B}."
