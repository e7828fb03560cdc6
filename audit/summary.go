package audit

import (
	"fmt"
	"slices"
	"strings"

	"lonja/events"
)

// Summary returns an event's data in a few words for a reader who asked about id.
// If id is a product, it lists only that product's lines. It contains no secrets
// and no person's name or address. It is "" for events that need no detail.
func Summary(event events.Event, compactID string) string {
	switch e := event.(type) {
	case events.ProductCreated:
		return product(e.Product)
	case events.ProductChanged:
		return product(e.Product)
	case events.ProductRestored:
		return product(e.Product)
	case events.StockCounted:
		return stock(e.Level)
	case events.StockAdjusted:
		return fmt.Sprintf("%+d, %s (%s)", e.Delta, stock(e.Level), e.Reason)
	case events.StockRefused:
		return "short of " + join(e.Shortages, func(s events.Shortage) string {
			return fmt.Sprintf("%s (%d wanted, %d available)", s.SKU, s.Wanted, s.Available)
		})
	case events.OrderPlaced:
		return lineSummary(events.LinesOf(e.Items), compactID) + " for " + e.Total.String()
	case events.OrderAwaitingPayment:
		return e.Amount.String()
	case events.OrderPaid:
		return e.Amount.String()
	case events.OrderRefundRequested:
		return e.Amount.String()
	case events.OrderRefundFailed:
		return e.Amount.String()
	case events.OrderCancelled:
		if e.WasPaid {
			return e.Reason + ", was paid"
		}
		return e.Reason
	case events.ReceiptIssued:
		return fmt.Sprintf("receipt %d, %s", e.Number, e.Amount)
	case events.ReceiptCredited:
		return fmt.Sprintf("credit note %d to receipt %d, %s", e.Number, e.Receipt, e.Amount)
	case events.UserRegistered:
		return strings.Join(e.Roles, ", ")
	case events.UserRolesChanged:
		return strings.Join(e.Roles, ", ")
	case events.SessionEnded:
		return e.Reason
	case events.LoginEnded:
		return e.Reason
	}
	if about := addressOf(event, compactID); about != "" {
		return about
	}
	if lines, reason := stockLines(event); len(lines) > 0 || reason != "" {
		return strings.Trim(lineSummary(lines, compactID)+" "+reason, " ")
	}
	return paymentOf(event)
}

// addressOf says which entity keeps the address that an event of a user is about, and, to a
// reader who asked about that entity, whose the address is.
func addressOf(event events.Event, compactID string) string {
	var user, address events.UserID
	switch e := event.(type) {
	case events.UserEmailClaimed:
		user, address = e.UserID, e.EmailID
	case events.UserEmailReleased:
		user, address = e.UserID, e.EmailID
	case events.UserEmailChanged:
		user, address = e.UserID, e.EmailID
	case events.UserErased:
		user, address = e.UserID, e.EmailID
	default:
		return ""
	}
	if string(address) == compactID {
		return "of " + string(user)
	}
	return "address " + string(address)
}

func paymentOf(event events.Event) string {
	switch e := event.(type) {
	case events.PaymentRequested:
		return e.Amount.String() + " by " + e.Provider
	case events.PaymentCaptured:
		switch {
		case e.Again:
			return e.Amount.String() + " again, unwanted"
		case e.Unwanted:
			return e.Amount.String() + ", unwanted"
		}
		return e.Amount.String()
	case events.PaymentOpened:
		return fmt.Sprintf("attempt %d", e.Attempt)
	case events.PaymentAttemptFailed:
		return fmt.Sprintf("attempt %d %s", e.Attempt, e.Reason)
	case events.PaymentRetried:
		return fmt.Sprintf("attempt %d by %s", e.Attempt, e.Provider)
	case events.PaymentPageClosed:
		return fmt.Sprintf("of attempt %d", e.Attempt)
	case events.PaymentFlagged:
		return e.Reason + ": " + e.Detail
	case events.PaymentRefunded:
		if e.Partial {
			return e.Amount.String() + ", in part"
		}
		return e.Amount.String()
	case events.PaymentRefundRequested:
		return e.Amount.String()
	case events.PaymentRefundFailed:
		return e.Amount.String() + ": " + e.Detail
	}
	return ""
}

func product(p events.Product) string { return fmt.Sprintf("%s, %s", p.Name, p.Price) }

func stock(l events.Level) string {
	return fmt.Sprintf("%s: %d on hand, %d reserved", l.SKU, l.OnHand, l.Reserved)
}

// lineSummary lists the lines of one product, or all lines if there are none of it.
func lineSummary(lines []events.Quantity, compactID string) string {
	of := slices.DeleteFunc(slices.Clone(lines), func(q events.Quantity) bool { return string(q.SKU) != compactID })
	if len(of) == 0 {
		of = lines
	}
	return join(of, func(q events.Quantity) string { return fmt.Sprintf("%d x %s", q.Quantity, q.SKU) })
}

// maxNamed is how many items of a list a summary names.
const maxNamed = 4

func join[T any](list []T, word func(T) string) string {
	var words []string
	for i, one := range list {
		if i == maxNamed {
			words = append(words, fmt.Sprintf("and %d more", len(list)-maxNamed))
			break
		}
		words = append(words, word(one))
	}
	return strings.Join(words, ", ")
}

// stockLines returns the lines that a stock event moves, and its reason if it has one.
func stockLines(event events.Event) (lines []events.Quantity, reason string) {
	switch e := event.(type) {
	case events.StockReserved:
		return e.Lines, ""
	case events.StockCommitted:
		return e.Lines, ""
	case events.StockReleased:
		return e.Lines, "(" + e.Reason + ")"
	case events.StockReturned:
		return e.Lines, ""
	case events.StockRestocked:
		return e.Lines, ""
	}
	return nil, ""
}

// skusOf returns the SKUs that a stock event or a placed order names.
func skusOf(event events.Event) (skus []events.SKU) {
	lines, _ := stockLines(event)
	switch e := event.(type) {
	case events.StockCounted:
		return []events.SKU{e.SKU}
	case events.StockAdjusted:
		return []events.SKU{e.SKU}
	case events.StockRefused:
		for _, s := range e.Shortages {
			skus = append(skus, s.SKU)
		}
	case events.OrderPlaced:
		lines = events.LinesOf(e.Items)
	}
	for _, l := range lines {
		skus = append(skus, l.SKU)
	}
	return skus
}
