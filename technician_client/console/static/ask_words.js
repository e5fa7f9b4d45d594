// Reason and ticket number as they were last written, so that a second question does not have to be typed again.

export const askWords = { reason: "", ticketNumber: "" };
