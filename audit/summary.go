package audit

import (
	"fmt"
	"slices"
	"strings"

	"lonja/events"
)

// Summary is an event's data in a few words, for whoever asked about an id: of
// many lines those of that product only. It holds nothing secret and nobody's
// name or address.
func Summary(event events.Event, id string) string {
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
		return goods(events.LinesOf(e.Items), id) + " for " + e.Total.String()
	case events.OrderAwaitingPayment:
		return e.Amount.String()
	case events.OrderPaid:
		return e.Amount.String()
	case events.OrderCancelled:
		if e.WasPaid {
			return e.Reason + ", was paid"
		}
		return e.Reason
	case events.UserRegistered:
		return strings.Join(e.Roles, ", ")
	case events.UserRolesChanged:
		return strings.Join(e.Roles, ", ")
	case events.SessionEnded:
		return e.Reason
	}
	if lines, reason := stockOf(event); len(lines) > 0 || reason != "" {
		return strings.Trim(goods(lines, id)+" "+reason, " ")
	}
	return paymentOf(event)
}

func paymentOf(event events.Event) string {
	switch e := event.(type) {
	case events.PaymentRequested:
		return e.Amount.String() + " by " + e.Provider
	case events.PaymentCaptured:
		if e.Unwanted {
			return e.Amount.String() + ", unwanted"
		}
		return e.Amount.String()
	case events.PaymentRefunded:
		return e.Amount.String()
	}
	return ""
}

func product(p events.Product) string { return fmt.Sprintf("%s, %s", p.Name, p.Price) }

func stock(l events.Level) string {
	return fmt.Sprintf("%s: %d on hand, %d reserved", l.SKU, l.OnHand, l.Reserved)
}

// goods are lines, or those of one product when some are.
func goods(lines []events.Quantity, id string) string {
	of := slices.DeleteFunc(slices.Clone(lines), func(q events.Quantity) bool { return string(q.SKU) != id })
	if len(of) == 0 {
		of = lines
	}
	return join(of, func(q events.Quantity) string { return fmt.Sprintf("%d x %s", q.Quantity, q.SKU) })
}

// most is how many of many things a summary names.
const most = 4

func join[T any](all []T, word func(T) string) string {
	var words []string
	for i, one := range all {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(all)-most))
			break
		}
		words = append(words, word(one))
	}
	return strings.Join(words, ", ")
}

// stockOf is which lines an event moves, and why if it says so.
func stockOf(event events.Event) (lines []events.Quantity, reason string) {
	switch e := event.(type) {
	case events.StockReserved:
		return e.Lines, ""
	case events.StockCommitted:
		return e.Lines, ""
	case events.StockReleased:
		return e.Lines, "(" + e.Reason + ")"
	case events.StockReturned:
		return e.Lines, ""
	}
	return nil, ""
}

// goodsOf are the SKUs that an event of the stock, or an order's first, names.
func goodsOf(event events.Event) (skus []events.SKU) {
	lines, _ := stockOf(event)
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
