package errs_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"lonja/kit/errs"
)

// reserve reserves goods, or returns an error that tells the caller why not.
func reserve(sku string, quantity int) error {
	switch {
	case quantity < 1:
		return errs.InvalidField("quantity", "must be 1 or more, not %d", quantity)
	case sku == "A-1":
		return errs.New(errs.Conflict, "%s is sold out", sku)
	}
	return errors.New("open /data/stock.db: permission denied")
}

// At the edge of a service, an error with a code is sent to the caller. All
// others are logged, and the caller learns only that there was one.
func Example() {
	for _, err := range []error{reserve("B-2", 0), fmt.Errorf("order 7: %w", reserve("A-1", 1)), reserve("B-2", 1)} {
		reply, ok := errs.As(err)
		if !ok {
			// Log err here.
			reply = errs.New(errs.Internal, "internal error")
		}
		body, _ := json.Marshal(reply)
		fmt.Println(string(body))
	}
	// Output:
	// {"code":"invalid","detail":"quantity must be 1 or more, not 0","field":"quantity"}
	// {"code":"conflict","detail":"A-1 is sold out"}
	// {"code":"internal","detail":"internal error"}
}

func ExampleIs() {
	if err := reserve("A-1", 1); errs.Is(err, errs.Conflict) {
		fmt.Println("offer something else")
	}
	// Output: offer something else
}
