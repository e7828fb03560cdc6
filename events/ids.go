package events

import (
	"strconv"
	"strings"
)

// The ids of the shop. Each has its own type, so the compiler keeps them apart. Each must
// satisfy IsToken, since it is part of a subject.
type (
	// SKU is the merchant's own id of a product.
	SKU string
	// OrderID identifies an order: "ord_" and a UUID without dashes.
	OrderID string
	// PaymentID identifies the one payment of an order: "pay_" and the order's UUID.
	PaymentID string
	// RefundID identifies a refund: "ref_" and a UUID. That of a refund that nobody asked for, such as
	// that of a cancelled order, is the order's UUID, with a number if there are more.
	RefundID string
	// UserID identifies an account, or an email address: "usr_" and 32 hexadecimal digits. They
	// are random for an account, and a keyed hash for an address. The first administrator's
	// account and those of earlier versions have the id of their address.
	UserID string
	// SessionID identifies a login with all its refresh tokens: "lgn_" and a UUID, or "ses_" and a
	// UUID for one that an earlier version began.
	SessionID string
	// LocationID identifies a place where stock is kept.
	LocationID string
)

// MainLocation is the only location: all stock is kept there.
const MainLocation LocationID = "main"

// MaxToken is the maximum length of an id in bytes.
const MaxToken = 64

// IsToken reports whether s can be part of a subject: it matches
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

// Token checks that an id satisfies IsToken. The error is a *FieldError about the field.
func Token[T ~string](field string, id T) error {
	if !IsToken(string(id)) {
		return InvalidField(field, "must be 1 to %d letters, digits, '_' or '-'", MaxToken)
	}
	return nil
}

// PaymentFor returns the id of an order's payment. An order has at most one, so the id
// follows from the order's and needs no lookup.
func PaymentFor(id OrderID) PaymentID {
	return PaymentID("pay_" + strings.TrimPrefix(string(id), "ord_"))
}

// RefundFor returns the id of the nth refund, from 1 on, of an order's money that staff did not ask for:
// because the order was cancelled, or the money came too late.
func RefundFor(id OrderID, n int) RefundID {
	refund := RefundID("ref_" + strings.TrimPrefix(string(id), "ord_"))
	if n > 1 {
		refund += RefundID("-" + strconv.Itoa(n))
	}
	return refund
}
