/** An image cannot be imported, read or deleted; the message says why and what to do. Nothing was changed. */
export class ImageError extends Error {
  readonly code = "ERR_IMAGE";
}
