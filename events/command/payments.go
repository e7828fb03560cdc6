package command

import "lonja/events"

// SettlePayment reports an outcome of the sandbox provider, Pay or Decline. Anyone who has
// the payment's link may send it.
type SettlePayment struct {
	PaymentID events.PaymentID `json:"payment_id"`
	Outcome   string           `json:"outcome" enum:"pay,decline"`
}

func (SettlePayment) CommandName() string { return "payments.settle" }
func (c SettlePayment) EntityID() string  { return string(c.PaymentID) }
func (c SettlePayment) Check() error {
	return events.FirstOf(events.Token("payment_id", c.PaymentID), oneOf("outcome", c.Outcome, Pay, Decline))
}
