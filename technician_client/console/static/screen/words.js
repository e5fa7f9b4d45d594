// What both pages that show a screen say of it.

export const RESTARTED = "The picture was interrupted: the program that shows the screen ended on the device and was started again. "
  + "If it happens again, ask for the screen anew.";
