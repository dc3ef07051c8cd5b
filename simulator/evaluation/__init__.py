"""How good are the decisions? The engine and simple rules, on recorded people whose true crossings are known."""
