export async function main(amounts: number[], currency: "EUR" | "USD" = "EUR") {
  const total = amounts.reduce((sum, amount) => sum + amount, 0)
  return { total, currency }
}
