package payments

import "lonja/events"

// The sandbox is a provider without a bank. Its page, under the shop's own address, asks
// the customer what a bank would decide, and reports it with command.SettlePayment. A real
// provider replaces it with a name, an address to pay at, and a webhook that sends the same
// kind of command.
const sandbox = "sandbox"

func sandboxURL(id events.PaymentID) string { return "/sandbox/payments/" + string(id) }
