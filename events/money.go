package events

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/bojanz/currency"
)

// MaxAmount is the maximum of every amount, in minor units. Ten trillion cents is more than
// any order, and sums of them are far from overflow.
const MaxAmount = 10_000_000_000_000

// Money is an amount in the minor units of an ISO 4217 currency: 295 GBP is
// two pounds and 95 pence, 295 JPY is 295 yen.
type Money struct {
	Amount   int64  `json:"amount" doc:"In minor units: 295 is 2.95" example:"295"`
	Currency string `json:"currency" doc:"ISO 4217 code" example:"GBP"`
}

// String returns the amount as people write it: "2.95 GBP". For an unknown currency it
// returns the minor units.
func (m Money) String() string {
	amount, err := currency.NewAmountFromInt64(m.Amount, m.Currency)
	if err != nil {
		return fmt.Sprintf("%d %q", m.Amount, m.Currency)
	}
	return amount.String()
}

// Times returns n times m. ok is false when an operand is negative, or the result exceeds
// MaxAmount.
func (m Money) Times(n int64) (product Money, ok bool) {
	if m.Amount < 0 || n < 0 {
		return Money{}, false
	}
	hi, lo := bits.Mul64(uint64(m.Amount), uint64(n))
	if hi != 0 || lo > MaxAmount {
		return Money{}, false
	}
	return Money{int64(lo), m.Currency}, true
}

// Plus returns the sum. ok is false when the currencies differ or the result exceeds
// MaxAmount.
func (m Money) Plus(o Money) (sum Money, ok bool) {
	if m.Currency != o.Currency || m.Amount > math.MaxInt64-o.Amount || m.Amount+o.Amount > MaxAmount {
		return Money{}, false
	}
	return Money{m.Amount + o.Amount, m.Currency}, true
}

// Check returns a *FieldError about the field's amount or currency when the amount is
// negative or exceeds MaxAmount, or the currency is not in ISO 4217.
func (m Money) Check(field string) error {
	switch {
	case m.Amount < 0:
		return InvalidField(field+".amount", "must not be negative")
	case m.Amount > MaxAmount:
		return InvalidField(field+".amount", "must be at most %d", int64(MaxAmount))
	case !currency.IsValid(m.Currency) || m.Currency == "":
		return InvalidField(field+".currency", "must be an ISO 4217 code such as EUR")
	}
	return nil
}
