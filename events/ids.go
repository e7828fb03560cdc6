package events

import "strings"

// The ids of the shop. Each is a word of its own type so that the compiler
// keeps them apart; each must be a Token to stand in a subject.
type (
	// SKU is the merchant's own name for a product.
	SKU string
	// OrderID names an order: "ord_" and a UUID without dashes.
	OrderID string
	// PaymentID names the one payment of an order: "pay_" and the order's UUID.
	PaymentID string
	// UserID names an account: "usr_" and a keyed hash of its address.
	UserID string
	// SessionID names a line of refresh tokens that one login began: "ses_" and a UUID.
	SessionID string
	// LocationID names a place where stock is kept.
	LocationID string
)

// MainLocation is where all stock is kept until there are more places.
const MainLocation LocationID = "main"

// MaxToken is how long an id may be.
const MaxToken = 64

// IsToken reports whether s may stand in a subject: it matches
// ^[A-Za-z0-9_-]{1,64}$.
func IsToken(s string) bool {
	if len(s) == 0 || len(s) > MaxToken {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Token checks an id that is to stand in a subject.
func Token[T ~string](field string, id T) error {
	if !IsToken(string(id)) {
		return Wrong(field, "must be 1 to %d letters, digits, '_' or '-'", MaxToken)
	}
	return nil
}

// PaymentFor is the id of an order's payment. An order has one at most, so its
// id follows from the order's and needs no lookup.
func PaymentFor(id OrderID) PaymentID {
	return PaymentID("pay_" + strings.TrimPrefix(string(id), "ord_"))
}
